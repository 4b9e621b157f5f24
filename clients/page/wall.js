// The wall of cameras: a tile each with its newest picture and its state; and the row of names above every view.

import { byId, icon, make, refill } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { Snapshots } from "/page/snapshots.js";
import { hasPicture } from "/page/stage.js";
import { STATES } from "/page/state.js";
import { lasting } from "/page/time.js";

export class Wall {
  constructor(state, { add }) {
    this.state = state;
    this.grid = byId("wall");
    this.tiles = new Map(); // camera -> { item, snapshots, parts }
    this.open = new Map(); // camera -> names of rules that see something now
    this.watcher = new IntersectionObserver((entries) => { for (const entry of entries) this.seen(entry); });
    byId("wall-add").addEventListener("click", add);
    for (const name of ["cameras", "place", "link", "chosen"]) state.on(name, () => this.show());
    state.on("alert", (event) => this.alert(event));
    state.on("open", (event) => this.alert(event));
  }

  show() {
    const { state } = this;
    const wall = state.camera === null;
    document.body.dataset.view = wall ? "wall" : "camera";
    byId("wall-view").hidden = !wall;
    byId("camera-view").hidden = wall;
    byId("empty").hidden = !(state.loaded && !state.cameras.size);
    byId("wall-loading").hidden = state.loaded;
    this.grid.hidden = !state.cameras.size;
    byId("wall-count").textContent = state.cameras.size ? counted(state) : "";
    this.row();
    for (const [name, tile] of this.tiles) if (!state.cameras.has(name)) this.drop(name, tile);
    for (const name of state.names) this.fill(name);
  }

  row() {
    const { state } = this;
    const lost = state.link.state === "lost";
    const names = state.names.map((name) => [name, lost ? "off" : state.cameras.get(name).state]);
    byId("cameras").hidden = !names.length;
    refill(byId("camera-list"), JSON.stringify([names, state.camera]), () => [
      this.chip(null, "All cameras", icon("grid")),
      ...names.map(([name, now]) => this.chip(name, name, make("i", { className: "dot", title: STATES[now] ?? "not live", data: { state: now } }))),
    ]);
    const shown = `${state.camera}`; // the chip of what is shown is in sight, also where the row is longer than the screen
    if (shown === this.chipped || byId("cameras").hidden) return;
    this.chipped = shown;
    byId("camera-list").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  chip(camera, name, sign) {
    const now = camera !== null ? `, ${this.state.link.state === "lost" ? "not live" : STATES[this.state.cameras.get(camera).state] ?? ""}` : "";
    const link = make("a", { href: hrefOf(camera), data: { key: `chip ${camera}`, id: camera ?? "" } }, sign, make("span", { textContent: name }), make("span", { className: "hidden", textContent: now }));
    if (camera === this.state.camera) link.setAttribute("aria-current", "page");
    return make("li", {}, link);
  }

  fill(name) {
    const tile = this.tiles.get(name) ?? this.build(name);
    const camera = this.state.cameras.get(name);
    const { parts } = tile;
    const offline = this.state.link.state === "lost";
    tile.link.dataset.state = offline ? "offline" : camera.state;
    parts.dot.dataset.state = offline ? "off" : camera.state;
    const words = camera.state === "live" ? [] : [STATES[camera.state] ?? camera.state];
    if (camera.watched_s >= 1) words.push(`${lasting(camera.watched_s)} in memory`);
    parts.facts.textContent = words.join(" · ") || "live";
    parts.why.textContent = offline ? "Not live" : camera.state === "live" ? (tile.pictured ? "" : "Waiting for the first picture…") : camera.reason || "";
    parts.why.hidden = !parts.why.textContent;
    const open = this.open.get(name);
    tile.snapshots.nudge();
    parts.alert.hidden = !open?.size;
    parts.alert.lastChild.textContent = open?.size ? [...open.values()].join(", ") : "";
  }

  build(name) {
    const picture = make("img", { alt: "", hidden: true });
    const parts = {
      dot: make("i", { className: "dot" }),
      facts: make("small"),
      why: make("p", { className: "tile-why" }),
      alert: make("span", { className: "tile-alert", hidden: true }, icon("bell"), make("span")),
    };
    const link = make("a", { className: "tile", href: hrefOf(name), data: { id: name } },
      make("span", { className: "tile-picture" }, picture, parts.why, parts.alert),
      make("span", { className: "tile-words" }, parts.dot, make("strong", { textContent: name }), parts.facts));
    const tile = { link, parts, item: make("li", { data: { camera: name } }, link), pictured: false };
    tile.snapshots = new Snapshots(picture, name, {
      wanted: () => this.state.camera === null && hasPicture(this.state, this.state.cameras.get(name)),
      came: () => { if (!tile.pictured) { tile.pictured = true; picture.hidden = false; this.fill(name); } },
    });
    this.tiles.set(name, tile);
    const after = this.state.names.filter((other) => this.tiles.has(other));
    const next = after[after.indexOf(name) + 1];
    this.grid.insertBefore(tile.item, next ? this.tiles.get(next).item : byId("wall-add").parentElement);
    this.watcher.observe(tile.item);
    return tile;
  }

  drop(name, tile) {
    tile.snapshots.stop();
    this.watcher.unobserve(tile.item);
    tile.item.remove();
    this.tiles.delete(name);
    this.open.delete(name);
  }

  // Only tiles that can be seen ask for pictures.
  seen(entry) {
    const tile = this.tiles.get(entry.target.dataset.camera);
    if (!tile) return;
    if (entry.isIntersecting) tile.snapshots.start();
    else tile.snapshots.stop();
  }

  alert({ type, camera, id, rule }) {
    const open = this.open.get(camera) ?? new Map();
    if (type === "alert.end") open.delete(id);
    else open.set(id, rule);
    this.open.set(camera, open);
    if (this.tiles.has(camera)) this.fill(camera);
  }
}

function counted(state) {
  const live = [...state.cameras.values()].filter((camera) => camera.state === "live").length;
  return `${live} of ${state.cameras.size} live`;
}
