/* From latent draws to a posterior: draws move through the links of a trained flow. */
"use strict";
(() => {
  const root = document.getElementById("latent");
  const data = window.bayesinnLatent;
  if (!root || !data) return;
  const canvas = root.querySelector("canvas");
  const slider = root.querySelector("input");
  const label = root.querySelector("output");
  const button = root.querySelector("button");
  const last = data.places.length - 1;
  /* Each station has its own scale: the largest coordinate of its draws. */
  const scales = data.places.map((cloud) => Math.max(...cloud.flat().map(Math.abs)));
  let place = 0, playing = false, before = 0;
  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    const size = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(size * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const from = Math.min(Math.floor(place), last - 1);
    const share = place - from;
    const ease = share * share * (3 - 2 * share);
    const style = getComputedStyle(root);
    const colours = ["--within", "--undecided"].map((name) => style.getPropertyValue(name).trim());
    const half = Math.min(size, height) / 2 - 6;
    data.places[from].forEach((point, i) => {
      const next = data.places[from + 1][i];
      const at = [0, 1].map((axis) => (1 - ease) * point[axis] / scales[from] + ease * next[axis] / scales[from + 1]);
      /* Colour by where a draw began, so that it can be followed. */
      const right = data.places[0][i][0] > 0;
      pen.fillStyle = colours[right ? 0 : 1];
      pen.beginPath();
      if (right) pen.arc(size / 2 + half * at[0], height / 2 - half * at[1], 2.2, 0, 7);
      else pen.rect(size / 2 + half * at[0] - 2, height / 2 - half * at[1] - 2, 4, 4);
      pen.fill();
    });
    label.textContent = data.names[Math.round(place)];
    slider.value = place;
  };
  const step = (now) => {
    if (!playing) return;
    /* The first frame may have begun before the click. */
    place = Math.min(last, place + Math.max(0, now - before) / 900);
    before = now;
    draw();
    if (place < last) requestAnimationFrame(step);
    else { playing = false; button.textContent = "Play again"; }
  };
  button.addEventListener("click", () => {
    playing = !playing;
    if (playing && place >= last) place = 0;
    button.textContent = playing ? "Pause" : "Play";
    before = performance.now();
    requestAnimationFrame(step);
  });
  slider.max = last;
  slider.addEventListener("input", () => { playing = false; button.textContent = "Play"; place = Number(slider.value); draw(); });
  new ResizeObserver(draw).observe(canvas);
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
  draw();
})();
