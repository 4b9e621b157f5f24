// The score of a rule over the past, as a curve with the bar that it must pass; a click leads to the moment.

import { draw } from "/page/dom.js";
import { clock } from "/page/time.js";

const HEIGHT = 120;
const PAD = 6;
const GAPS = 12; // a hole so many times the usual distance between points is not bridged

export class Plot {
  constructor(box, go) {
    this.box = box;
    this.svg = draw("svg", { class: "curve", height: HEIGHT, role: "img", "aria-label": "Score of the rule over the past" });
    this.label = box.querySelector("output");
    box.prepend(this.svg);
    this.data = null;
    this._bar = 0.5;
    new ResizeObserver(() => this.render()).observe(box);
    box.addEventListener("pointermove", (event) => this.point(event));
    box.addEventListener("pointerleave", () => this.point(null));
    box.addEventListener("click", (event) => { const at = this.nearest(event); if (at !== null) go(this.data.times[at]); });
  }

  set bar(bar) {
    this._bar = bar;
    this.render();
  }

  show(data) {
    this.data = data.times.length ? data : null;
    this.render();
  }

  clear() {
    this.data = null;
    this.render();
  }

  render() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.width = width;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [draw("rect", { class: "lane", x: 0, y: 0, width, height: HEIGHT, rx: 6 })];
    if (this.data) {
      const { events, to } = this.data;
      parts.push(...events.map((event) => draw("rect", { class: "alert", x: this.x(event.start), y: 0, width: Math.max(3, this.x(event.end ?? to) - this.x(event.start)), height: HEIGHT })));
      parts.push(draw("path", { class: "score", d: this.path() }));
    }
    const y = this.y(this._bar).toFixed(1);
    parts.push(draw("path", { class: "bar-line", d: `M0 ${y}H${width}` }));
    this.needle = draw("path", { class: "needle", d: "" });
    this.svg.replaceChildren(...parts, this.needle);
  }

  x(seconds) {
    const { from, to } = this.data;
    return Math.min(this.width, ((seconds - from) / Math.max(1, to - from)) * this.width);
  }

  y(score) {
    return PAD + (1 - score) * (HEIGHT - 2 * PAD);
  }

  path() {
    const { times, scores } = this.data;
    const usual = (times.at(-1) - times[0]) / Math.max(1, times.length - 1);
    return times.map((seconds, at) => {
      const jump = at === 0 || seconds - times[at - 1] > GAPS * usual;
      return `${jump ? "M" : "L"}${this.x(seconds).toFixed(1)} ${this.y(scores[at]).toFixed(1)}`;
    }).join("");
  }

  nearest(event) {
    if (!this.data) return null;
    const { left } = this.svg.getBoundingClientRect();
    const x = event.clientX - left;
    let best = 0;
    this.data.times.forEach((seconds, at) => { if (Math.abs(this.x(seconds) - x) < Math.abs(this.x(this.data.times[best]) - x)) best = at; });
    return best;
  }

  point(event) {
    const at = event && this.nearest(event);
    if (at === null || at === undefined) {
      this.label.textContent = "";
      this.needle?.setAttribute("d", "");
      return;
    }
    const { times, scores } = this.data;
    this.label.textContent = `${clock(times[at])} · ${scores[at].toFixed(2)}`;
    this.needle.setAttribute("d", `M${this.x(times[at]).toFixed(1)} 0V${HEIGHT}`);
  }
}
