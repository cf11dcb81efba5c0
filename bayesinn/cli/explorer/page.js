/* The explorer: what is dragged, simulated, typed or dropped goes to the server on this machine; its answer is drawn. */
"use strict";
const byId = (id) => document.getElementById(id);
const make = (kind, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
};
const MOST_PAIRS = 7;
const MOST_CHANNELS = 6;
const MOST_TYPED = 2000;
let model;
let answer = null;
/* All that decides what is shown: the link holds it. */
let state = { mode: "simulate", parameters: {}, seed: 1, data: null, context: {} };
const tally = { inside: 0, all: 0 };
/* Milliseconds from what a person did to the redrawn posterior. */
const times = [];
window.explorer = { times, draw: () => draw(), state: () => state, answer: () => answer };

const ask = async (action, request) => {
  const response = await fetch(`api/${action}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
  }).catch(() => { throw new Error("No answer: is `bayesinn explore` still running?"); });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
};
const complain = (text) => { byId("error").textContent = text; byId("error").hidden = !text; };
/* Four digits; long numbers as powers of ten. */
const write = (value) => {
  if (value === null) return "";
  const short = String(Number(value.toPrecision(4)));
  if (short.length <= 6 && !short.includes("e")) return short.replace("-", "−");
  const [digits, power] = value.toExponential(3).split("e");
  const raised = [...String(Number(power))].map((one) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[one] || "⁻").join("");
  return `${Number(digits)}·10${raised}`.replace(/^(-?)1·/, "$1").replace("-", "−");
};

/* A label with formulas is drawn, in the size and colour of the text around it; hundredths of an em. */
const text = (one) => (one.label.includes("$") ? one.name : one.label);
const inUnits = (one) => (one.unit ? ` [${one.unit}]` : "");
const labelled = (one) => {
  if (!one.drawing) return text(one);
  const [path, left, top, width, height] = one.drawing;
  const element = (kind, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const svg = element("svg", { viewBox: `${left} ${top} ${width} ${height}`, role: "img", "aria-label": one.name });
  svg.append(element("path", { d: path, fill: "currentColor", transform: "scale(1 -1)" }));
  Object.assign(svg.style, { width: `${width / 100}em`, height: `${height / 100}em`, verticalAlign: `${-(top + height) / 100}em` });
  return svg;
};
/* The same on a canvas, from a point on its baseline. */
const drawLabel = (pen, one, x, y, room) => {
  if (!one.drawing) { pen.fillText(text(one), x, y, room); return; }
  const scale = Math.min(0.13, room / one.drawing[3]);
  pen.save();
  pen.translate(x, y);
  pen.scale(scale, -scale);
  pen.fill(new Path2D(one.drawing[0]));
  pen.restore();
};

/* Round numbers in a range: multiples of 1, 2 or 5 times a power of ten. */
const rounds = (low, high, most) => {
  const least = (high - low) / most, power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= least * (1 - 1e-9));
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  return Array.from({ length: Math.max(0, count) || 0 }, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step);
};
/* An axis: linear, or logarithmic beyond `linear`, which is the size of what is still told from zero. */
const makeAxis = (low, high, linear) => {
  const to = linear ? (v) => Math.asinh(v / 2 / linear) : (v) => v;
  const from = linear ? (u) => 2 * linear * Math.sinh(u) : (u) => u;
  const room = 0.06 * (to(high) - to(low)) || 0.5;
  const [first, last] = [to(low) - room, to(high) + room];
  const ticks = (most) => {
    if (!linear) return rounds(first, last, most);
    const powers = [0];
    for (let size = 10 ** Math.ceil(Math.log10(linear) - 1e-9); size < Math.max(from(last), -from(first)); size *= 10) powers.push(size, -size);
    const inside = (values) => values.filter((v) => to(v) > first && to(v) < last).sort((a, b) => a - b);
    const decades = inside(powers);
    const stride = Math.ceil(decades.length / most);
    const chosen = decades.length > 2 ? decades.filter((_, i) => (decades.length - 1 - i) % stride === 0) : inside(powers.flatMap((v) => (v ? [v, 2 * v, 5 * v] : [0])));
    return chosen.length > 1 ? chosen : rounds(from(first), from(last), most);
  };
  return { share: (v) => (to(v) - first) / (last - first), value: (share) => from(first + share * (last - first)), ticks };
};
const quantile = (sorted, share) => sorted[Math.floor(share * (sorted.length - 1))];
/* The least size that a log axis of these values tells from zero: one where they count. */
const smallest = (values, whole) => {
  const sizes = Float64Array.from(values.filter((v) => v)).map(Math.abs).sort();
  return whole || !sizes.length ? 1 : quantile(sizes, 0.1);
};
/* Whether values grow so far, over orders of magnitude, that a linear axis hides most of them. */
const DECADES = 30;
const grows = (values, whole) => {
  if (!values.length || values.some((v) => v < 0)) return false;
  const least = smallest(values, whole);
  const sizes = Float64Array.from(values).map((v) => Math.max(v, least)).sort();
  return quantile(sizes, 0.9) > DECADES * quantile(sizes, 0.1);
};

/* One request at a time; what changes meanwhile is asked for next. */
let busy = false;
let waiting = null;
const refresh = async (action = null, predictive = true) => {
  const since = performance.now();
  if (busy) { waiting = waiting || { since }; Object.assign(waiting, { action: action || waiting.action, predictive }); return; }
  busy = true;
  let next = { action, predictive, since };
  while (next) {
    const started = next.since;
    try {
      await update(next.action || (state.mode === "data" ? "infer" : "simulate"), next.predictive);
      complain("");
      draw();
      times.push(performance.now() - started);
      if (times.length > 1000) times.shift();
      byId("speed").textContent = `Answered in ${Math.round(times[times.length - 1])} ms.`;
    } catch (error) { complain(error.message); }
    next = waiting;
    waiting = null;
  }
  busy = false;
  keepLink();
};
const update = async (action, predictive) => {
  const before = answer || {};
  const result = await ask(action, { ...state, predictive });
  answer = { ...result, predictive: result.predictive || before.predictive, whole: result.whole || before.whole };
  if (result.data) state.data = result.data;
  if (action !== "recover") return;
  state.mode = "simulate";
  state.parameters = result.parameters;
  if (Object.keys(result.context).length) state.context = result.context;
  const inside = Object.values(result.inside);
  tally.inside += inside.filter(Boolean).length;
  tally.all += inside.length;
  byId("tally").textContent =
    `${tally.inside} of ${tally.all} true values lie in their 90 % interval (expected: 90 %).`;
  showParameters();
};

/* Browsers allow few changes of the address in a second. */
let keeping = 0;
const address = () => `#${encodeURIComponent(JSON.stringify(state))}`;
const keepLink = () => {
  clearTimeout(keeping);
  keeping = setTimeout(() => history.replaceState(null, "", address()), 400);
};

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const names = ["text", "soft", "line", "posterior", "fill", "truth", "prior", "wide"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
};
const prepare = (canvas) => {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  return { pen, width, height };
};
const histogram = (values, low, high, bins) => {
  const counts = new Float64Array(bins);
  for (const value of values) {
    const bin = Math.floor((value - low) / (high - low) * bins);
    if (bin >= 0 && bin < bins) counts[bin] += 1 / values.length;
  }
  return counts;
};
/* Ends of a panel: those of the slider, or of nearly all draws of the answer where these are farther out. */
const SHARE_OUTSIDE = 0.005;
const middle = (name) => {
  const draws = Float64Array.from(answer.draws[name].filter((v) => v !== null)).sort();
  const outside = Math.floor(SHARE_OUTSIDE * draws.length);
  return draws.length ? [draws[outside], draws[draws.length - 1 - outside]] : [Infinity, -Infinity];
};
const ends = (parameter) => {
  const [low, high] = middle(parameter.name);
  return [Math.min(parameter.low, low), Math.max(parameter.high, high)];
};
const known = () => (state.mode === "simulate" ? state.parameters : {});
/* Ends of a panel of pairs: those of the posterior, and of the true value. */
const zoomed = (parameter) => {
  const truth = known()[parameter.name];
  const values = [...middle(parameter.name), ...(truth === undefined ? [] : [truth])].filter(Number.isFinite);
  const low = Math.min(...values), high = Math.max(...values);
  const room = 0.05 * (high - low) || Math.abs(high) || 1;
  return values.length ? [low - room, high + room] : [parameter.low, parameter.high];
};

const drawMarginal = (parameter, canvas, colour) => {
  const { pen, width, height } = prepare(canvas);
  const [low, high] = ends(parameter);
  const bins = 40, bottom = height - 16;
  const draws = histogram(answer.draws[parameter.name], low, high, bins);
  const prior = histogram(parameter.prior, low, high, bins / 2);
  const top = Math.max(...draws, ...prior.map((v) => v / 2)) || 1;
  const x = (value) => (value - low) / (high - low) * width;
  pen.fillStyle = colour.fill;
  draws.forEach((v, i) => pen.fillRect(i * width / bins, bottom * (1 - v / top), width / bins, bottom * v / top));
  pen.strokeStyle = colour.prior;
  pen.beginPath();
  prior.forEach((v, i) => {
    const y = bottom * (1 - v / 2 / top);
    pen.lineTo(2 * i * width / bins, y);
    pen.lineTo(2 * (i + 1) * width / bins, y);
  });
  pen.stroke();
  pen.strokeStyle = colour.line;
  pen.strokeRect(0.5, 0, width - 1, bottom);
  const truth = known()[parameter.name];
  if (truth !== undefined) {
    pen.strokeStyle = colour.truth;
    pen.lineWidth = 2;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    pen.moveTo(x(truth), 0);
    pen.lineTo(x(truth), bottom);
    pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 1;
  }
  pen.fillStyle = colour.soft;
  pen.textAlign = "center";
  for (const tick of rounds(low, high, 4)) {
    const half = pen.measureText(write(tick)).width / 2;
    pen.fillRect(x(tick) - 0.5, bottom, 1, 3);
    if (x(tick) >= half && x(tick) <= width - half) pen.fillText(write(tick), x(tick), height - 2);
  }
  pen.textAlign = "left";
};

/* Room for numbers and labels. */
const PAIRS = { left: 56, bottom: 32 };
const drawPairs = (colour) => {
  const shown = model.parameters.slice(0, MOST_PAIRS);
  const canvas = byId("matrix");
  const count = shown.length - 1;
  byId("pairs").hidden = count < 1;
  if (count < 1) return;
  canvas.style.height = `${Math.min(canvas.clientWidth - PAIRS.left, 210 * count) + PAIRS.bottom}px`;
  const { pen, width, height } = prepare(canvas);
  const cell = Math.min((width - PAIRS.left) / count, (height - PAIRS.bottom) / count);
  const truth = known();
  const ranges = shown.map(zoomed);
  for (let row = 1; row <= count; row++) {
    for (let column = 0; column < row; column++) {
      const [one, other] = [shown[column], shown[row]];
      const left = PAIRS.left + column * cell, top = (row - 1) * cell, size = cell - 6;
      const [low, high] = ranges[column], [bottom, ceiling] = ranges[row];
      const x = (v) => left + (v - low) / (high - low) * size;
      const y = (v) => top + size - (v - bottom) / (ceiling - bottom) * size;
      pen.strokeStyle = colour.line;
      pen.strokeRect(left, top, size, size);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, size, size);
      pen.clip();
      pen.fillStyle = colour.posterior;
      pen.globalAlpha = 0.6;
      const first = answer.draws[one.name], second = answer.draws[other.name];
      /* One path for all points: thousands of single ones take longer than the answer. */
      pen.beginPath();
      for (let i = 0; i < first.length; i++) pen.rect(x(first[i]) - 1, y(second[i]) - 1, 2, 2);
      pen.fill();
      pen.globalAlpha = 1;
      if (truth[one.name] !== undefined) {
        pen.strokeStyle = colour.truth;
        pen.lineWidth = 2;
        const at = [x(truth[one.name]), y(truth[other.name])];
        pen.beginPath();
        pen.moveTo(at[0] - 6, at[1]); pen.lineTo(at[0] + 6, at[1]);
        pen.moveTo(at[0], at[1] - 6); pen.lineTo(at[0], at[1] + 6);
        pen.stroke();
        pen.lineWidth = 1;
      }
      pen.restore();
      if (row === count) {
        pen.fillStyle = colour.soft;
        for (const tick of rounds(low, high, 2)) {
          const half = pen.measureText(write(tick)).width / 2;
          pen.fillRect(x(tick) - 0.5, top + size, 1, 3);
          pen.fillText(write(tick), Math.max(left, Math.min(left + size - 2 * half, x(tick) - half)), top + size + 13);
        }
        pen.fillStyle = colour.text;
        drawLabel(pen, one, left + size / 2 - 6, top + size + 27, size / 2);
      }
      if (column === 0) {
        pen.fillStyle = colour.soft;
        pen.textAlign = "right";
        for (const tick of rounds(bottom, ceiling, 3)) {
          pen.fillRect(left - 3, y(tick) - 0.5, 3, 1);
          pen.fillText(write(tick), left - 5, Math.max(top + 9, Math.min(top + size, y(tick) + 4)), PAIRS.left - 22);
        }
        pen.textAlign = "left";
        pen.fillStyle = colour.text;
        pen.save();
        pen.translate(12, top + size / 2 + 6);
        pen.rotate(-Math.PI / 2);
        drawLabel(pen, other, 0, 0, size / 2);
        pen.restore();
      }
    }
  }
};

/* Series of an observable: places of its values among all of them. */
const series = (observable) => {
  const [steps, channels, ...more] = observable.shape;
  const size = observable.shape.reduce((a, b) => a * b, 1);
  if (channels === undefined || more.length || channels > MOST_CHANNELS) {
    return [{ channel: "", places: Array.from({ length: size }, (_, i) => i) }];
  }
  return Array.from({ length: channels }, (_, channel) => ({
    channel: `[${channel}]`, places: Array.from({ length: steps }, (_, i) => i * channels + channel),
  }));
};
const flat = (value) => [value].flat(Infinity);
/* Fields of numbers; a missing one is NaN. */
const listed = (values) => flat(values).map((v) => (v === null ? "NaN" : Number(v.toPrecision(6)))).join(", ");
const numbersIn = (text) => text.split(/[\s,;]+/).filter(Boolean).map((word) => (/^nan$/i.test(word) ? null : Number(word)));
const nested = (values, shape) => {
  if (!shape.length) return values[0];
  const inner = shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: shape[0] }, (_, i) => nested(values.slice(i * inner, (i + 1) * inner), shape.slice(1)));
};
const margin = { left: 52, right: 8, top: 6, bottom: 20 };
const drawSeries = (panel, colour) => {
  const { canvas, observable, places } = panel;
  const { pen, width, height } = prepare(canvas);
  const data = flat(state.data[observable.name]);
  const bands = answer.predictive && answer.predictive[observable.name];
  const seen = places.map((i) => data[i]);
  if (!panel.held) {
    const all = [...seen, ...(bands ? places.flatMap((i) => [bands[0][i], bands[4][i]]) : [])].filter((v) => v !== null);
    const whole = Boolean(answer.whole && answer.whole[observable.name]);
    if (!panel.decided && bands) { panel.log.checked = grows(all, whole); panel.decided = true; }
    /* Not Math.min(...all): a call takes some 100,000 arguments at most. */
    const before = sliding ? panel.ends : [Infinity, -Infinity];
    const low = all.reduce((a, b) => Math.min(a, b), before[0]), high = all.reduce((a, b) => Math.max(a, b), before[1]);
    panel.ends = [low, high];
    panel.axis = all.length ? makeAxis(low, high, panel.log.checked && smallest(all, whole)) : makeAxis(0, 1);
  }
  const inner = width - margin.left - margin.right;
  const x = panel.x = (i) => margin.left + inner * (i + 0.5) / places.length;
  const tall = panel.tall = height - margin.top - margin.bottom;
  const y = (v) => margin.top + tall * (1 - panel.axis.share(v));
  panel.value = (at) => panel.axis.value(1 - (at - margin.top) / tall);
  pen.save();
  pen.beginPath();
  pen.rect(margin.left, margin.top, inner, height - margin.top - margin.bottom);
  pen.clip();
  if (bands) {
    for (const [bottom, top, fill] of [[0, 4, colour.wide], [1, 3, colour.fill]]) {
      pen.fillStyle = fill;
      const half = inner / places.length / 2;
      places.forEach((place, i) => {
        if (bands[bottom][place] === null) return;
        const upper = y(bands[top][place]);
        pen.fillRect(x(i) - half, upper, 2 * half + 0.5, Math.max(1, y(bands[bottom][place]) - upper));
      });
    }
    pen.strokeStyle = colour.posterior;
    pen.lineWidth = 2;
    pen.beginPath();
    places.forEach((place, i) => { if (bands[2][place] !== null) pen.lineTo(x(i), y(bands[2][place])); });
    pen.stroke();
  }
  pen.restore();
  pen.fillStyle = colour.truth;
  const radius = Math.max(1.5, Math.min(4.5, inner / places.length / 3));
  seen.forEach((value, i) => {
    if (value === null) return;
    pen.beginPath();
    pen.arc(x(i), y(value), radius, 0, 7);
    pen.fill();
  });
  pen.strokeStyle = colour.line;
  pen.lineWidth = 1;
  pen.strokeRect(margin.left, margin.top, inner, height - margin.top - margin.bottom);
  pen.fillStyle = colour.soft;
  pen.textAlign = "right";
  for (const tick of panel.axis.ticks(5)) {
    pen.fillRect(margin.left - 3, y(tick) - 0.5, 3, 1);
    pen.fillText(write(tick), margin.left - 5, y(tick) + 4);
  }
  /* As many steps as have room; the number of the step where they have no place. */
  const step = (i) => observable.steps[i] || String(i);
  const room = 16 + Math.max(pen.measureText(step(0)).width, pen.measureText(step(places.length - 1)).width);
  pen.textAlign = "center";
  for (const tick of rounds(0, places.length - 1, Math.max(1, inner / room)).filter(Number.isInteger)) {
    const half = pen.measureText(step(tick)).width / 2;
    pen.fillRect(x(tick) - 0.5, height - margin.bottom, 1, 3);
    pen.fillText(step(tick), Math.max(half, Math.min(width - half, x(tick))), height - 4);
  }
  pen.textAlign = "left";
};

const panels = [];
/* While a parameter is dragged axes only grow, so that data and bands are seen to move. */
let sliding = false;
const marginals = [];
const draw = () => {
  if (!answer) return;
  const colour = colours();
  for (const [parameter, canvas] of marginals) drawMarginal(parameter, canvas, colour);
  for (const panel of panels) drawSeries(panel, colour);
  drawPairs(colour);
  const typical = byId("typical");
  typical.className = answer.flagged ? "flagged" : "";
  typical.textContent = answer.flagged
    ? `✗ Unlike the simulations (${answer.unusual}, p = ${write(Number(answer.p_value.toPrecision(2)))}): the posterior is an extrapolation.`
    : `✓ Typical of the simulations of training (p = ${write(Number(answer.p_value.toPrecision(2)))}).`;
  for (const observable of model.observables) {
    const field = byId(`typed-${observable.name}`);
    if (field && document.activeElement !== field) {
      field.value = listed(state.data[observable.name]);
    }
  }
  byId("notes").textContent = (answer.notes || []).join("\n");
  showTruth();
  showContext();
};
const changeData = (name, index, value) => {
  const observable = model.observables.find((one) => one.name === name);
  const values = flat(state.data[name]);
  values[index] = answer.whole && answer.whole[name] ? Math.round(value) : value;
  state.data = { ...state.data, [name]: nested(values, observable.shape) };
  state.mode = "data";
};

const showContext = () => {
  for (const [name, value] of Object.entries(state.context)) {
    const field = byId(`context-${name}`);
    if (field && document.activeElement !== field) field.value = flat(value).join(", ");
  }
};
const showParameters = () => {
  for (const parameter of model.parameters) {
    const value = state.parameters[parameter.name];
    byId(`slide-${parameter.name}`).value = 1000 * (value - parameter.low) / (parameter.high - parameter.low);
    byId(`number-${parameter.name}`).value = Number(value.toPrecision(4));
  }
  showContext();
};
/* Of data that nobody simulated here the truth is not known: sliders fade, and their numbers go. */
const showTruth = () => {
  const stale = state.mode === "data";
  byId("truth").classList.toggle("stale", stale);
  byId("drag").textContent = stale
    ? "Not known of these data. Drag one: data are simulated from it."
    : "Drag one: data are simulated, and the posterior follows.";
  for (const { name } of stale ? model.parameters : []) {
    const number = byId(`number-${name}`);
    if (document.activeElement !== number) number.value = "";
  }
};
const setParameter = (parameter, value, settled) => {
  state.parameters = { ...state.parameters, [parameter.name]: parameter.whole ? Math.round(value) : value };
  state.mode = "simulate";
  showParameters();
  refresh(null, settled || model.follows);
};

const buildParameters = () => {
  for (const parameter of model.parameters) {
    const title = () => [labelled(parameter), inUnits(parameter)];
    const slider = make("input", { type: "range", min: 0, max: 1000, step: 1, id: `slide-${parameter.name}` });
    slider.setAttribute("aria-label", parameter.name);
    const number = make("input", { type: "number", step: "any", id: `number-${parameter.name}` });
    const at = () => parameter.low + slider.value / 1000 * (parameter.high - parameter.low);
    slider.addEventListener("input", () => { sliding = true; setParameter(parameter, at(), false); });
    slider.addEventListener("change", () => { sliding = false; setParameter(parameter, at(), true); });
    number.addEventListener("change", () => setParameter(parameter, Number(number.value), true));
    byId("sliders").append(make("label", {}, make("span", {}, ...title()), number, slider));
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Posterior of ${parameter.name}`);
    byId("marginals").append(make("div", {}, make("b", {}, ...title()), canvas));
    marginals.push([parameter, canvas]);
  }
  const shown = Math.min(model.parameters.length, MOST_PAIRS);
  byId("chosen").textContent = shown < model.parameters.length ? `The first ${shown} of ${model.parameters.length} parameters.` : "";
};
const buildContext = () => {
  for (const [name, value] of Object.entries(model.context)) {
    const input = make("input", { id: `context-${name}`, value: flat(value).join(", ") });
    input.addEventListener("change", () => {
      const numbers = input.value.split(/[\s,;]+/).filter(Boolean).map(Number);
      const size = flat(value).length;
      if (numbers.length !== size || numbers.some(Number.isNaN)) {
        complain(`${name}: ${size === 1 ? "a number is" : `${size} numbers are`} needed; got "${input.value}"`);
        return;
      }
      state.context = { ...state.context, [name]: Array.isArray(value) ? numbers : numbers[0] };
      refresh();
    });
    byId("context").append(make("label", {}, make("span", { textContent: `${name} (context)` }), input));
  }
};
const buildData = () => {
  for (const observable of model.observables) {
    for (const { channel, places } of series(observable)) {
      const canvas = make("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Data ${observable.name}${channel}, and what the posterior predicts`);
      const log = make("input", { type: "checkbox" });
      log.addEventListener("change", draw);
      const panel = { canvas, observable, places, log, ends: [Infinity, -Infinity], decided: false, held: false };
      panels.push(panel);
      const heading = make("h3", {}, labelled(observable), channel + inUnits(observable));
      byId("observables").append(make("div", { className: "title" }, heading, make("label", {}, log, " log axis")), canvas);
      let dragged = -1;
      const move = (event) => changeData(observable.name, places[dragged], panel.value(event.clientY - canvas.getBoundingClientRect().top));
      canvas.addEventListener("pointerdown", (event) => {
        const at = event.clientX - canvas.getBoundingClientRect().left;
        dragged = Math.max(0, Math.min(places.length - 1, Math.round((at - panel.x(0)) / (panel.x(1) - panel.x(0)) || 0)));
        canvas.setPointerCapture(event.pointerId);
        panel.held = true;
        move(event);
        refresh(null, model.follows);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (dragged < 0) return;
        move(event);
        refresh(null, model.follows);
      });
      canvas.addEventListener("pointerup", () => { dragged = -1; panel.held = false; refresh(); });
    }
    if (observable.shape.reduce((a, b) => a * b, 1) > MOST_TYPED) continue;
    const field = make("textarea", { id: `typed-${observable.name}`, spellcheck: false });
    field.setAttribute("aria-label", `Values of ${observable.name}`);
    field.addEventListener("change", () => {
      const values = numbersIn(field.value);
      const size = observable.shape.reduce((a, b) => a * b, 1);
      if (values.length !== size || values.some(Number.isNaN)) {
        complain(`${observable.name}: ${size} numbers are needed, separated by commas; got ${values.length}`);
        return;
      }
      state.data = { ...state.data, [observable.name]: nested(values, observable.shape) };
      state.mode = "data";
      refresh();
    });
    byId("observables").append(field);
  }
};
const take = (file) => {
  const reader = new FileReader();
  reader.onload = async () => {
    try {
      const result = await ask("file", { name: file.name, content: reader.result.split(",")[1], context: state.context });
      state = { ...state, mode: "data", data: result.data, context: { ...state.context, ...result.context } };
      await refresh();
      complain(result.notes.join("\n"));
    } catch (error) { complain(error.message); }
  };
  reader.readAsDataURL(file);
};
const listen = () => {
  byId("recover").addEventListener("click", () => { state.seed += 1; refresh("recover"); });
  byId("noise").addEventListener("click", () => { state.seed += 1; refresh(); });
  byId("link").addEventListener("click", async () => {
    history.replaceState(null, "", address());
    try { await navigator.clipboard.writeText(location.href); } catch { /* The address bar has it. */ }
    byId("tally").textContent = "The address of this page now leads to exactly this state.";
  });
  byId("observed").hidden = !model.observed;
  byId("observed").addEventListener("click", () => {
    state.data = Object.fromEntries(model.observables.map((one) => [one.name, model.observed[one.name]]));
    state.context = { ...model.context };
    state.mode = "data";
    refresh();
  });
  byId("file").addEventListener("change", (event) => take(event.target.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.body.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    });
  }
  new ResizeObserver(draw).observe(byId("marginals"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.addEventListener("hashchange", () => { read(); refresh(); });
};
const read = () => {
  try {
    const given = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    state = { ...state, ...given };
    showParameters();
    return true;
  } catch { return false; }
};
const start = async () => {
  try { model = await ask("model", {}); } catch (error) { complain(error.message); return; }
  document.title = `${model.name}: bayesinn explorer`;
  byId("name").textContent = `${model.name}: explore the posterior`;
  byId("says").textContent = model.says;
  state.context = { ...model.context };
  state.parameters = Object.fromEntries(model.parameters.map((one) => [one.name, one.median]));
  buildParameters();
  buildContext();
  buildData();
  listen();
  showParameters();
  const linked = location.hash.length > 1 && read();
  if (!linked && model.observed) byId("observed").click(); else refresh();
};
start();
