/* Faults to drag: a wrong posterior of two parameters, and what the tests see of it. No request leaves the page. */
"use strict";
(() => {
  const root = document.getElementById("faults");
  if (!root) return;
  const TRUE_CORRELATION = -0.6;
  const MOST = 4000;
  const BINS = 20;
  const ALLOWED = { shift: 0.07, spread: 5, coverage: 0.05, correlation: 0.1 };
  const state = { width: 1, shift: 0, correlation: TRUE_CORRELATION, simulations: 1000 };

  /* Fixed random numbers: what is dragged changes the posterior, and nothing else. */
  let word = 20241;
  const uniform = () => {
    word = (word + 0x6d2b79f5) | 0;
    let t = Math.imul(word ^ (word >>> 15), 1 | word);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const pairs = (count, correlation) => {
    const rows = [];
    const rest = Math.sqrt(1 - correlation * correlation);
    for (let i = 0; i < count; i++) {
      const first = normal();
      rows.push([first, correlation * first + rest * normal()]);
    }
    return rows;
  };
  const truths = pairs(MOST, TRUE_CORRELATION);
  const noise = pairs(MOST, 0);
  /* Distribution function of the standard normal: Abramowitz & Stegun 26.2.17, error below 1e-7. */
  const phi = (x) => {
    const t = 1 / (1 + 0.2316419 * Math.abs(x));
    const tail = 0.3989423 * Math.exp(-x * x / 2) * t *
      (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    return x > 0 ? 1 - tail : tail;
  };
  const points = Array.from({ length: 99 }, (_, i) => (i + 1) / 100);
  /* Half widths of bands in which all points of a uniform sample's curve stay, 99 times in 100. */
  const band = (() => {
    const tops = [];
    for (let trial = 0; trial < 400; trial++) {
      const sample = Float64Array.from({ length: 400 }, uniform).sort();
      let top = 0;
      let below = 0;
      for (const u of points) {
        while (below < 400 && sample[below] < u) below++;
        top = Math.max(top, Math.abs(below / 400 - u) / Math.sqrt(u * (1 - u) / 400));
      }
      tops.push(top);
    }
    tops.sort((a, b) => a - b);
    return tops[395];
  })();

  const compute = () => {
    const { width, shift, correlation, simulations: n } = state;
    const rest = Math.sqrt(1 - correlation * correlation);
    const first = new Float64Array(n), central = new Float64Array(n);
    const joint = new Float64Array(n), product = new Float64Array(n);
    const products = noise.map(([a, b]) => a * (correlation * a + rest * b)).sort((a, b) => a - b);
    let sum = 0, square = 0, across = 0;
    for (let i = 0; i < n; i++) {
      const a = (truths[i][0] - shift) / width;
      const b = truths[i][1] / width;
      first[i] = phi(a);
      central[i] = Math.abs(2 * first[i] - 1);
      const other = (b - correlation * a) / rest;
      joint[i] = 1 - Math.exp(-(a * a + other * other) / 2);
      let low = 0, high = products.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (products[middle] < a * b) low = middle + 1; else high = middle;
      }
      product[i] = low / products.length;
      // Errors are those of the draws: where truths lie too low, draws lie too high.
      sum -= a; square += a * a; across += correlation - truths[i][0] * truths[i][1];
    }
    const mean = sum / n;
    const sd = Math.sqrt(square / n - mean * mean);
    const curve = (values) => {
      const sorted = values.slice().sort();
      let below = 0;
      return points.map((u) => {
        while (below < n && sorted[below] < u) below++;
        return below / n - u;
      });
    };
    const histogram = new Float64Array(BINS);
    for (const u of first) histogram[Math.min(BINS - 1, Math.floor(u * BINS))] += BINS / n;
    return {
      histogram, ecdf: curve(first), coverage: curve(central), joint: curve(joint), product: curve(product),
      mean, spread: 100 * (1 - sd), across: across / n,
    };
  };

  const colours = () => {
    const style = getComputedStyle(root);
    const read = (name) => style.getPropertyValue(name).trim();
    return { text: read("--text"), soft: read("--soft"), within: read("--within"), outside: read("--outside"),
      band: read("--band"), stated: read("--undecided") };
  };

  const prepare = (name) => {
    const canvas = root.querySelector(`[data-panel=${name}]`);
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    return { pen, width, height };
  };
  const frame = { left: 40, right: 8, top: 8, bottom: 22 };
  const axes = (name, low, high, colour, ticks) => {
    const { pen, width, height } = prepare(name);
    const x = (u) => frame.left + u * (width - frame.left - frame.right);
    const y = (v) => frame.top + (high - v) / (high - low) * (height - frame.top - frame.bottom);
    pen.strokeStyle = colour.soft;
    pen.fillStyle = colour.soft;
    pen.lineWidth = 1;
    pen.strokeRect(x(0), y(high), x(1) - x(0), y(low) - y(high));
    pen.textAlign = "right";
    for (const tick of ticks) pen.fillText(String(tick).replace("-", "−"), x(0) - 4, y(tick) + 4);
    pen.textAlign = "center";
    for (const tick of [0, 0.5, 1]) pen.fillText(tick, x(tick), height - 6);
    return { pen, x, y };
  };
  const line = (pen, x, y, us, vs, colour, dash, weight) => {
    pen.beginPath();
    us.forEach((u, i) => (i ? pen.lineTo(x(u), y(vs[i])) : pen.moveTo(x(u), y(vs[i]))));
    pen.strokeStyle = colour;
    pen.lineWidth = weight;
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  };
  const drawCurve = (name, curve, allowed, outside, colour) => {
    const reach = Math.max(0.1, 1.1 * Math.max(...curve.map(Math.abs)));
    const { pen, x, y } = axes(name, -reach, reach, colour, [-0.05, 0, 0.05]);
    pen.beginPath();
    const half = (u) => band * Math.sqrt(u * (1 - u) / state.simulations);
    points.forEach((u, i) => (i ? pen.lineTo(x(u), y(half(u))) : pen.moveTo(x(u), y(half(u)))));
    [...points].reverse().forEach((u) => pen.lineTo(x(u), y(-half(u))));
    pen.fillStyle = colour.band;
    pen.fill();
    if (allowed) for (const end of [-allowed, allowed]) line(pen, x, y, [0, 1], [end, end], colour.text, [2, 3], 1);
    line(pen, x, y, [0, 1], [0, 0], colour.soft, [], 1);
    line(pen, x, y, [0, ...points, 1], [0, ...curve, 0], outside ? colour.outside : colour.within, outside ? [6, 3] : [], 2);
  };
  const drawHistogram = (histogram, outside, colour) => {
    const top = Math.max(2, 1.1 * Math.max(...histogram));
    const { pen, x, y } = axes("histogram", 0, top, colour, [0, 1]);
    pen.fillStyle = outside ? colour.outside : colour.within;
    histogram.forEach((height, bin) => pen.fillRect(x(bin / BINS) + 0.5, y(height), x(1 / BINS) - x(0) - 1, y(0) - y(height)));
    line(pen, x, y, [0, 1], [1, 1], colour.text, [], 1);
  };
  const ellipse = (pen, x, y, mean, sd, correlation, level) => {
    pen.beginPath();
    for (let step = 0; step <= 90; step++) {
      const angle = step * Math.PI / 45;
      const first = Math.cos(angle);
      const second = correlation * first + Math.sqrt(1 - correlation * correlation) * Math.sin(angle);
      const place = [x(mean + sd * level * first), y(sd * level * second)];
      if (step) pen.lineTo(...place); else pen.moveTo(...place);
    }
    pen.stroke();
  };
  const scale = () => {
    const canvas = root.querySelector("[data-panel=posterior]");
    return Math.min(canvas.clientWidth, canvas.clientHeight) / 7;
  };
  const drawPosterior = (colour) => {
    const { pen, width, height } = prepare("posterior");
    const unit = scale();
    const x = (v) => width / 2 + v * unit, y = (v) => height / 2 - v * unit;
    pen.fillStyle = colour.soft;
    for (let i = 0; i < 300; i++) pen.fillRect(x(truths[i][0]) - 1, y(truths[i][1]) - 1, 2, 2);
    const curves = [[0, 1, TRUE_CORRELATION, colour.within, []],
      [state.shift, state.width, state.correlation, colour.stated, [6, 4]]];
    for (const [mean, sd, correlation, stroke, dash] of curves) {
      pen.strokeStyle = stroke;
      pen.lineWidth = 2.5;
      pen.setLineDash(dash);
      for (const level of [1.177, 2.146]) ellipse(pen, x, y, mean, sd, correlation, level);
    }
    pen.setLineDash([]);
    pen.fillStyle = colour.stated;
    pen.beginPath();
    pen.arc(x(state.shift), y(0), 6, 0, 7);
    pen.fill();
  };

  const say = (name, outside, text) => {
    const label = root.querySelector(`[data-says=${name}]`);
    label.textContent = `${outside ? "✗" : "✓"} ${text}`;
    label.className = outside ? "outside" : "within";
  };
  const number = (value, digits) => value.toFixed(digits).replace("-", "−");
  const largest = (curve) => curve.reduce((top, v) => (Math.abs(v) > Math.abs(top) ? v : top), 0);
  const draw = () => {
    const started = performance.now();
    const found = compute();
    const colour = colours();
    const marginal = Math.abs(found.mean) > ALLOWED.shift || Math.abs(found.spread) > ALLOWED.spread;
    const over = (curve) => Math.abs(largest(curve)) > ALLOWED.coverage;
    drawPosterior(colour);
    drawHistogram(found.histogram, marginal, colour);
    drawCurve("ecdf", found.ecdf, ALLOWED.coverage, marginal, colour);
    drawCurve("coverage", found.coverage, ALLOWED.coverage, over(found.coverage), colour);
    drawCurve("joint", found.joint, ALLOWED.coverage, over(found.joint), colour);
    const wrong = Math.abs(found.across) > ALLOWED.correlation;
    drawCurve("product", found.product, 0, wrong, colour);
    say("histogram", marginal, `spread ${number(found.spread, 1)} of 5 %, shift ${number(found.mean, 2)} of 0.07 sd`);
    say("ecdf", marginal, `largest difference ${number(100 * largest(found.ecdf), 1)} points`);
    say("coverage", over(found.coverage), `error ${number(100 * largest(found.coverage), 1)} of 5 points`);
    say("joint", over(found.joint), `error ${number(100 * largest(found.joint), 1)} of 5 points`);
    say("product", wrong, `error of correlation ${number(found.across, 2)} of 0.1`);
    root.dataset.milliseconds = String(Math.round(performance.now() - started));
  };

  let asked = false;
  const redraw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
  const show = () => {
    for (const input of root.querySelectorAll("input[type=range]")) {
      input.value = state[input.name];
      root.querySelector(`output[for=${input.id}]`).textContent = number(Number(state[input.name]), input.name === "simulations" ? 0 : 2);
    }
    redraw();
  };
  root.addEventListener("input", (event) => { state[event.target.name] = Number(event.target.value); show(); });
  root.addEventListener("click", (event) => {
    const fault = event.target.dataset.fault;
    if (!fault) return;
    Object.assign(state, { width: 1, shift: 0, correlation: TRUE_CORRELATION }, JSON.parse(fault));
    show();
  });
  const posterior = root.querySelector("[data-panel=posterior]");
  posterior.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const box = posterior.getBoundingClientRect();
    state.shift = Math.max(-1, Math.min(1, (event.clientX - box.left - box.width / 2) / scale()));
    show();
  });
  posterior.addEventListener("pointerdown", (event) => posterior.setPointerCapture(event.pointerId));
  new ResizeObserver(redraw).observe(root);
  new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  show();
})();
