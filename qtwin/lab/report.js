"use strict";
// A setting picked in the legend stands out in every figure; a pointer over a chart reads its values.
const chips = [...document.querySelectorAll(".chip")];
const picked = new Set();
const show = () => {
  chips.forEach((chip) => chip.setAttribute("aria-pressed", picked.has(chip.dataset.i)));
  document.querySelectorAll("svg .line, svg .band, svg .row, svg circle.seed[data-i]").forEach((mark) => {
    const lit = picked.size > 0 && picked.has(mark.dataset.i);
    mark.classList.toggle("dim", picked.size > 0 && !lit);
    mark.classList.toggle("lit", lit);
  });
};
chips.forEach((chip) => chip.addEventListener("click", () => {
  const i = chip.dataset.i;
  if (picked.has(i)) picked.delete(i); else picked.add(i);
  show();
}));

const tip = document.getElementById("tip");
const short = (v) => v === null ? "–" : Math.abs(v) >= 1e4 ? Math.round(v).toLocaleString("en") : String(v);
document.querySelectorAll("svg[data-series]").forEach((svg) => {
  const series = JSON.parse(svg.dataset.series), [low, high, begin, end] = JSON.parse(svg.dataset.box);
  const cross = svg.querySelector(".cross"), width = svg.viewBox.baseVal.width;
  const hide = () => { tip.hidden = true; cross.style.opacity = 0; };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * width;
    if (at < begin - 4 || at > end + 4) return hide();
    const x = low + (at - begin) / (end - begin) * (high - low);
    const rows = series.map((s) => {
      let best = 0;
      s.x.forEach((v, k) => { if (Math.abs(v - x) < Math.abs(s.x[best] - x)) best = k; });
      return [s, s.x[best], s.y[best]];
    });
    const near = rows.reduce((a, b) => Math.abs(b[1] - x) < Math.abs(a[1] - x) ? b : a)[1];
    const place = begin + (near - low) / ((high - low) || 1) * (end - begin);
    cross.setAttribute("x1", place); cross.setAttribute("x2", place); cross.style.opacity = .7;
    tip.replaceChildren();
    const head = document.createElement("b");
    head.textContent = short(near);
    tip.append(head);
    rows.filter((r) => r[2] !== null).sort((a, b) => b[2] - a[2]).forEach(([s, , y]) => {
      const row = document.createElement("div"), dot = document.createElement("i"), value = document.createElement("span");
      row.className = "s" + s.i;
      value.textContent = short(y);
      row.append(dot, s.n, value);
      tip.append(row);
    });
    tip.hidden = false;
    const right = event.clientX + 18 + tip.offsetWidth > window.innerWidth;
    tip.style.left = Math.max(4, right ? event.clientX - 18 - tip.offsetWidth : event.clientX + 18) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)) + "px";
  });
});
