// The part of the picture that a rule looks at: a box or a polygon, drawn over the picture by pointer or by keyboard.

import { byId, draw, make } from "/page/dom.js";
import { inside, moved, pictureIn, resized, rounded } from "/page/corners.js";

const FIRST = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]];
const DRAWN = 0.05; // a box is drawn anew from so much of the picture on: less is a click
const MOST_CORNERS = 24;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SIDES = ["left", "top", "right", "bottom"];

export class Zone {
  // `changed()` is called whenever `value` is another.
  constructor(state, { changed }) {
    Object.assign(this, { state, changed });
    this.stage = byId("stage");
    this.box = byId("zone");
    this.shade = draw("path", { class: "zone-shade", "fill-rule": "evenodd" });
    this.edge = draw("path", { class: "zone-edge" });
    this.box.prepend(draw("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, this.shade, this.edge));
    this.kind = "all"; // all, box, polygon
    this.corners = FIRST;
    this.looked = false; // the rule editor is what is shown in the panel
    for (const choice of byId("where").querySelectorAll('[name="where"]')) choice.addEventListener("change", () => { this.choose(choice.value); changed(); });
    for (const side of SIDES) byId(`zone-${side}`).addEventListener("input", () => this.typed());
    this.box.addEventListener("pointerdown", (event) => this.press(event));
    this.box.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.box.addEventListener(end, () => { this.grip = null; });
    this.box.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.lay()).observe(this.stage);
    for (const picture of this.pictures) for (const news of ["load", "loadeddata", "resize"]) picture.addEventListener(news, () => this.lay());
    state.on("place", ({ moved: other }) => { if (other) this.forget(); else this.lay(); });
    this.show();
  }

  get pictures() {
    return ["video", "picture", "past"].map(byId);
  }

  // As a rule has it: null for the whole picture, [left, top, right, bottom], or [[x, y], …].
  get value() {
    if (this.kind === "all") return null;
    const corners = this.corners.map((corner) => corner.map(rounded));
    return this.kind === "box" ? [...corners[0], ...corners[2]] : corners;
  }

  set looking(looking) {
    this.looked = looking;
    this.show();
  }

  choose(kind) {
    if (kind === "box" && this.kind === "polygon") { // the box around it
      const [xs, ys] = [0, 1].map((axis) => this.corners.map((corner) => corner[axis]));
      this.corners = boxed(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    }
    this.kind = kind;
    this.show();
  }

  forget() {
    this.corners = FIRST;
    byId("where").querySelector('[value="all"]').checked = true;
    this.choose("all");
  }

  typed() {
    const [left, top, right, bottom] = SIDES.map((side) => byId(`zone-${side}`).valueAsNumber / 100);
    const good = [left, top, right, bottom].every((share) => share >= 0 && share <= 1) && left < right && top < bottom;
    for (const side of SIDES) byId(`zone-${side}`).setAttribute("aria-invalid", String(!good));
    byId("zone-problem").textContent = good ? "" : "From 0 to 100, left less than right, top less than bottom.";
    if (!good) return; // the last good one stays
    this.corners = boxed(left, top, right, bottom);
    this.show(document.activeElement);
  }

  set(corners) {
    this.corners = corners;
    this.show();
    this.changed();
  }

  // ---- how it looks
  show(typing = null) {
    const on = this.looked && this.kind !== "all";
    this.box.hidden = !on;
    this.stage.dataset.zone = String(on);
    byId("zone-sides").hidden = this.kind !== "box";
    byId("zone-help").textContent = { all: "", box: "Drag it on the picture, or give its sides in per cent.", polygon: "Drag its corners on the picture; + adds one. By keyboard: arrows move a corner, with Shift further, Delete removes it." }[this.kind];
    if (this.kind === "box") {
      SIDES.forEach((side, at) => { const field = byId(`zone-${side}`); if (field !== typing) field.value = Math.round(this.value[at] * 100); });
      if (!typing) { byId("zone-problem").textContent = ""; for (const side of SIDES) byId(`zone-${side}`).removeAttribute("aria-invalid"); }
    }
    if (!on) return;
    const outline = pathOf(this.corners);
    this.edge.setAttribute("d", outline);
    this.shade.setAttribute("d", `M0 0H1V1H0Z${outline}`);
    this.handles();
    this.lay();
  }

  // One handle for each corner, and in a polygon one between two that adds a corner. They stay while they are dragged.
  handles() {
    const { corners } = this;
    const between = this.kind === "polygon" && corners.length < MOST_CORNERS ? corners.map((corner, at) => middle(corner, corners[(at + 1) % corners.length])) : [];
    const wanted = [...corners.map((at, number) => ({ at, number, kind: "corner" })), ...between.map((at, number) => ({ at, number, kind: "add" }))];
    const there = [...this.box.querySelectorAll("button")];
    there.slice(wanted.length).forEach((handle) => handle.remove());
    wanted.forEach(({ at: [x, y], number, kind }, order) => {
      const handle = there[order] ?? this.box.appendChild(make("button", { type: "button", attrs: { "aria-describedby": "zone-help" } }));
      Object.assign(handle.dataset, { kind, number });
      handle.className = `handle ${kind}`;
      handle.setAttribute("aria-label", kind === "add" ? `Add a corner after corner ${number + 1}` : `Corner ${number + 1}: ${Math.round(x * 100)} % from the left, ${Math.round(y * 100)} % from the top`);
      handle.style.left = `${x * 100}%`;
      handle.style.top = `${y * 100}%`;
    });
  }

  // The zone lies over the picture as it is shown, not over the bars beside it.
  lay() {
    if (this.box.hidden) return;
    const picture = this.pictures.find((each) => !each.hidden);
    const { left, top, width, height } = pictureIn(this.stage, picture);
    Object.assign(this.box.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  }

  // ---- pointer and keys
  at(event) {
    const { left, top, width, height } = this.box.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height].map((share) => Math.min(1, Math.max(0, share)));
  }

  press(event) {
    if (event.button !== 0) return;
    const handle = event.target.closest("button");
    const from = this.at(event);
    if (handle?.dataset.kind === "add") this.add(Number(handle.dataset.number));
    const number = handle ? Number(handle.dataset.number) + (handle.dataset.kind === "add" ? 1 : 0) : null;
    if (number === null && this.kind === "polygon" && !inside(this.corners, from)) return;
    this.grip = { from, before: this.corners, number, whole: number === null && inside(this.corners, from) };
    this.box.setPointerCapture(event.pointerId);
    if (handle) this.box.querySelectorAll(".corner")[number].focus({ preventScroll: true });
    event.preventDefault();
  }

  drag(event) {
    if (!this.grip) return;
    const { from, before, number, whole } = this.grip;
    const to = this.at(event);
    if (number !== null) this.set(this.kind === "box" ? resized(before, number, to) : before.with(number, to));
    else if (whole) this.set(moved(before, [to[0] - from[0], to[1] - from[1]]));
    else if (Math.abs(to[0] - from[0]) >= DRAWN && Math.abs(to[1] - from[1]) >= DRAWN) {
      this.set(boxed(Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])));
    }
  }

  add(number) {
    const { corners } = this;
    this.set(corners.toSpliced(number + 1, 0, middle(corners[number], corners[(number + 1) % corners.length])));
  }

  key(event) {
    const handle = event.target.closest("button");
    if (!handle || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = Number(handle.dataset.number);
    const corners = () => this.box.querySelectorAll(".corner");
    if (handle.dataset.kind === "add") {
      if (event.key !== "Enter" && event.key !== " ") return;
      this.add(number);
      corners()[number + 1].focus();
    } else if (KEYS[event.key]) {
      const step = event.shiftKey ? 0.1 : 0.01;
      const to = this.corners[number].map((share, axis) => Math.min(1, Math.max(0, share + step * KEYS[event.key][axis])));
      this.set(this.kind === "box" ? resized(this.corners, number, to) : this.corners.with(number, to));
    } else if (["Delete", "Backspace"].includes(event.key) && this.kind === "polygon" && this.corners.length > 3) {
      this.set(this.corners.toSpliced(number, 1));
      corners()[Math.min(number, this.corners.length - 1)].focus();
    } else return;
    event.preventDefault();
  }
}

const middle = ([x, y], [x2, y2]) => [(x + x2) / 2, (y + y2) / 2];
const boxed = (left, top, right, bottom) => [[left, top], [right, top], [right, bottom], [left, bottom]];
const pathOf = (corners) => `M${corners.map(([x, y]) => `${x} ${y}`).join("L")}Z`;

// A rule's zone over a picture that fills its place and is cut where it is longer, as `object-fit: cover` does.
export function outlineOver(image, zone) {
  const drawing = draw("svg", { class: "zone-over", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
  const corners = typeof zone[0] === "number" ? boxed(...zone) : zone;
  image.addEventListener("load", () => {
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(draw("path", { class: "zone-edge", d: pathOf(corners.map(([x, y]) => [x * width, y * height])) }));
  });
  return drawing;
}
