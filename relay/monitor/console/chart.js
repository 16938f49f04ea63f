// Lines over the last five minutes.

import { el, svg } from "./dom.js";

const SAMPLES = 150;
const MARGIN = { left: 44, right: 8, top: 8, bottom: 20 };

// A round figure that is no less than `most`.
function ceiling(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most) * power;
}

const figure = (n) => n === null ? "–"
  : n >= 1000 ? Math.round(n).toLocaleString("en")
  : n >= 10 || n === 0 ? String(Math.round(n)) : n.toFixed(1);

// lines: [class, name]; `at` of a sample in milliseconds, its values in their order, null: none
export class Chart {
  constructor(parent, lines, unit) {
    this.lines = lines;
    this.unit = unit;
    this.samples = [];
    this.cursor = null;
    this.picture = svg("svg", { class: "chart", role: "img" });
    this.labels = lines.map(([kind]) => el("span", { class: kind }));
    parent.append(this.picture, el("div", { class: "legend" }, ...this.labels));
    this.picture.addEventListener("pointermove", (event) => this.point(event));
    this.picture.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(parent);
  }

  add(at, values) {
    this.samples.push({ at, values });
    if (this.samples.length > SAMPLES) this.samples.shift();
    this.draw();
  }

  clear() {
    this.samples = [];
    this.draw();
  }

  point(event) {
    const x = event.clientX - this.picture.getBoundingClientRect().left;
    const near = (sample) => Math.abs(this.x(sample) - x);
    this.cursor = this.samples.reduce((best, s) => !best || near(s) < near(best) ? s : best, null);
    this.draw();
  }

  get width() { return this.picture.clientWidth || 600; }
  get height() { return this.picture.clientHeight || 160; }

  // Two seconds a sample, the newest at the right.
  x(sample) {
    const last = this.samples.at(-1);
    const inner = this.width - MARGIN.left - MARGIN.right;
    return this.width - MARGIN.right - (last.at - sample.at) / (SAMPLES * 2000) * inner;
  }

  y(value, top) {
    return this.height - MARGIN.bottom - value / top * (this.height - MARGIN.top - MARGIN.bottom);
  }

  path(index, top) {
    let text = "", pen = "M";
    for (const sample of this.samples) {
      const value = sample.values[index];
      if (value === null) { pen = "M"; continue; }
      // A lone point is a dot: a line of no length with round ends.
      text += `${pen}${this.x(sample).toFixed(1)} ${this.y(value, top).toFixed(1)}`;
      pen = "L";
    }
    return text;
  }

  draw() {
    const values = this.samples.flatMap((s) => s.values.filter((v) => v !== null));
    const top = ceiling(Math.max(0, ...values));
    const shown = this.cursor ?? this.samples.at(-1);
    const right = this.width - MARGIN.right;
    const grid = [0, top / 2, top].flatMap((value) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: this.y(value, top), y2: this.y(value, top) }),
      svg("text", { x: MARGIN.left - 6, y: this.y(value, top) + 4, "text-anchor": "end" }, figure(value)),
    ]);
    const cursor = this.cursor && svg("line", {
      class: "cursor", x1: this.x(this.cursor), x2: this.x(this.cursor), y1: MARGIN.top, y2: this.height - MARGIN.bottom });
    this.picture.replaceChildren(...grid,
      svg("text", { x: MARGIN.left, y: this.height - 4 }, "5 min ago"),
      svg("text", { x: right, y: this.height - 4, "text-anchor": "end" }, "now"),
      ...this.lines.map(([kind], i) =>
        svg("path", { class: kind, d: this.path(i, top), "stroke-linecap": "round" })),
      ...(cursor ? [cursor] : []));
    this.labels.forEach((label, i) => {
      label.textContent = `${this.lines[i][1]} ${shown ? figure(shown.values[i]) : "–"} ${this.unit}`;
    });
    this.picture.setAttribute("aria-label", this.labels.map((l) => l.textContent).join(", "));
  }
}
