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
  });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
};
const complain = (text) => { byId("error").textContent = text; byId("error").hidden = !text; };
const write = (value) => (value === null ? "" : String(Number(value.toPrecision(4))).replace("-", "−"));

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
  const bands = answer && answer.predictive;
  const result = await ask(action, { ...state, predictive });
  answer = { ...result, predictive: result.predictive || bands };
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
  const names = ["text", "soft", "line", "posterior", "fill", "truth", "data", "prior", "wide"];
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
const ends = (parameter) => {
  const finite = answer.draws[parameter.name].filter((v) => v !== null);
  const draws = Float64Array.from(finite).sort();
  if (!draws.length) return [parameter.low, parameter.high];
  const outside = Math.floor(SHARE_OUTSIDE * draws.length);
  const low = Math.min(parameter.low, draws[outside]);
  const high = Math.max(parameter.high, draws[draws.length - 1 - outside]);
  return [low, high];
};
const known = () => (state.mode === "simulate" ? state.parameters : {});

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
  pen.fillText(write(low), 0, height - 3);
  pen.textAlign = "right";
  pen.fillText(write(high), width, height - 3);
  pen.textAlign = "left";
};

const drawPairs = (colour) => {
  const shown = model.parameters.slice(0, MOST_PAIRS);
  const canvas = byId("matrix");
  const count = shown.length - 1;
  byId("pairs").hidden = count < 1;
  if (count < 1) return;
  canvas.style.height = `${Math.min(canvas.clientWidth, 210 * count + 20)}px`;
  const { pen, width, height } = prepare(canvas);
  const cell = Math.min((width - 20) / count, (height - 20) / count);
  const truth = known();
  const ranges = shown.map(ends);
  for (let row = 1; row <= count; row++) {
    for (let column = 0; column < row; column++) {
      const [one, other] = [shown[column], shown[row]];
      const left = 18 + column * cell, top = (row - 1) * cell, size = cell - 6;
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
      pen.fillStyle = colour.text;
      if (row === count) pen.fillText(one.name, left + 3, top + size + 14, size);
      if (column === 0) {
        pen.save();
        pen.translate(12, top + size - 3);
        pen.rotate(-Math.PI / 2);
        pen.fillText(other.name, 0, 0, size);
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
    return [{ title: observable.name, places: Array.from({ length: size }, (_, i) => i) }];
  }
  return Array.from({ length: channels }, (_, channel) => ({
    title: `${observable.name}[${channel}]`, places: Array.from({ length: steps }, (_, i) => i * channels + channel),
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
const margin = { left: 52, right: 8, top: 6, bottom: 18 };
const drawSeries = (panel, colour) => {
  const { canvas, observable, places } = panel;
  const { pen, width, height } = prepare(canvas);
  const data = flat(state.data[observable.name]);
  const bands = answer.predictive && answer.predictive[observable.name];
  const seen = places.map((i) => data[i]);
  if (!panel.held) {
    const all = [...seen, ...(bands ? places.flatMap((i) => [bands[0][i], bands[4][i]]) : [])].filter((v) => v !== null);
    /* Not Math.min(...all): a call takes some 100,000 arguments at most. */
    const low = all.reduce((a, b) => Math.min(a, b), Infinity), high = all.reduce((a, b) => Math.max(a, b), -Infinity);
    const room = 0.06 * (high - low) || 0.5;
    panel.range = all.length ? [low - room, high + room] : [0, 1];
  }
  const [low, high] = panel.range;
  const inner = width - margin.left - margin.right;
  const x = panel.x = (i) => margin.left + inner * (i + 0.5) / places.length;
  const y = panel.y = (v) => margin.top + (high - v) / (high - low) * (height - margin.top - margin.bottom);
  panel.value = (at) => high - (at - margin.top) / (height - margin.top - margin.bottom) * (high - low);
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
  pen.fillStyle = colour.data;
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
  for (const share of [0.1, 0.5, 0.9]) {
    const value = low + share * (high - low);
    pen.fillText(write(value), margin.left - 4, y(value) + 4);
  }
  pen.textAlign = "left";
  const steps = observable.steps;
  if (steps.length) {
    pen.fillText(steps[0], margin.left, height - 4);
    pen.textAlign = "right";
    pen.fillText(steps[steps.length - 1], width - margin.right, height - 4);
    pen.textAlign = "left";
  }
};

const panels = [];
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
    ? `✗ Unlike the simulations of training, in its ${answer.unusual} (p = ${write(Number(answer.p_value.toPrecision(2)))}): the posterior is an extrapolation.`
    : `✓ Typical of the simulations of training (p = ${write(Number(answer.p_value.toPrecision(2)))}).`;
  for (const observable of model.observables) {
    const field = byId(`typed-${observable.name}`);
    if (field && document.activeElement !== field) {
      field.value = listed(state.data[observable.name]);
    }
  }
  showContext();
};
const changeData = (name, index, value) => {
  const observable = model.observables.find((one) => one.name === name);
  const values = flat(state.data[name]);
  values[index] = value;
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
    byId(`number-${parameter.name}`).value = Number(value.toPrecision(6));
  }
  showContext();
};
const setParameter = (parameter, value, settled) => {
  state.parameters = { ...state.parameters, [parameter.name]: parameter.whole ? Math.round(value) : value };
  state.mode = "simulate";
  showParameters();
  refresh(null, settled || model.follows);
};

const buildParameters = () => {
  for (const parameter of model.parameters) {
    const unit = parameter.unit ? ` [${parameter.unit}]` : "";
    const slider = make("input", { type: "range", min: 0, max: 1000, step: 1, id: `slide-${parameter.name}` });
    slider.setAttribute("aria-label", parameter.name);
    const number = make("input", { type: "number", step: "any", id: `number-${parameter.name}` });
    const at = () => parameter.low + slider.value / 1000 * (parameter.high - parameter.low);
    slider.addEventListener("input", () => setParameter(parameter, at(), false));
    if (!model.follows) slider.addEventListener("change", () => setParameter(parameter, at(), true));
    number.addEventListener("change", () => setParameter(parameter, Number(number.value), true));
    byId("sliders").append(make("label", {}, make("span", { textContent: parameter.name + unit }), number, slider));
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Posterior of ${parameter.name}`);
    byId("marginals").append(make("div", {}, make("b", { textContent: parameter.name + unit }), canvas));
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
    for (const { title, places } of series(observable)) {
      const canvas = make("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Data ${title}, and what the posterior predicts`);
      const panel = { canvas, observable, places, held: false };
      panels.push(panel);
      byId("observables").append(make("h3", { textContent: title + (observable.unit ? ` [${observable.unit}]` : "") }), canvas);
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
