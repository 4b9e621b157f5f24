// The rule editor: what a rule would have raised over the past, while one types; and the lines to keep it.

import { cameraPath } from "/page/api.js";
import { byId, make, settled } from "/page/dom.js";
import { Plot } from "/page/plot.js";
import { hrefOf } from "/page/route.js";
import { clock, lasting } from "/page/time.js";
import { Zone, outlineOver } from "/page/zone.js";

const PAUSE_MS = 600; // after the last key
const MOST_FOUND = 12;
const BAR = 0.5; // what `auto` means

export class Rules {
  constructor(state, api, route) {
    Object.assign(this, { state, api });
    this.plot = new Plot(byId("plot"), (seconds) => route.go(state.camera, seconds));
    this.form = byId("rule");
    this.zone = new Zone(state, { changed: () => this.typed() });
    this.later = settled(PAUSE_MS, () => this.attempt());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.typed());
    byId("copy").addEventListener("click", () => this.copy());
    state.on("place", ({ moved }) => { if (moved) this.change(); });
    state.on("chosen", (names) => this.list(names));
    this.typed();
  }

  use(past) {
    this.past = past;
  }

  change() {
    this.stop?.abort();
    this.plot.clear();
    this.tell("");
    byId("found").replaceChildren();
    this.typed();
  }

  list(names) {
    byId("rule-names").replaceChildren(...names.map((name) => make("li", { textContent: name })));
    byId("rule-none").hidden = names.length > 0;
  }

  // The rule as the configuration has it; null while there is nothing to look for.
  get rule() {
    const { when, unless, hold, cooldown, schedule, auto, threshold, name } = this.form.elements;
    const sight = when.value.trim();
    if (!sight) return null;
    const rule = { name: name.value.trim() || named(sight), when: sight };
    const not = listed(unless.value);
    if (not.length) rule.unless = not.length === 1 ? not[0] : not;
    if (hold.value.trim() && hold.value.trim() !== "3s") rule.for = hold.value.trim();
    if (cooldown.value.trim() && cooldown.value.trim() !== "60s") rule.cooldown = cooldown.value.trim();
    const hours = listed(schedule.value);
    if (hours.length) rule.schedule = hours.length === 1 ? hours[0] : hours;
    if (this.zone.value) rule.zone = this.zone.value;
    if (!auto.checked) rule.threshold = Number(threshold.value);
    return rule;
  }

  typed() {
    const { rule } = this;
    const { auto, threshold } = this.form.elements;
    threshold.disabled = auto.checked;
    if (auto.checked) threshold.value = BAR;
    byId("threshold-words").textContent = auto.checked ? "automatic" : Number(threshold.value).toFixed(2);
    this.plot.bar = Number(threshold.value);
    byId("yaml").textContent = rule ? yaml(this.state.camera, rule) : yaml(this.state.camera, { name: "…", when: "…" });
    byId("copy").disabled = !rule;
    byId("copied").textContent = "";
    if (!rule) { this.stop?.abort(); this.plot.clear(); byId("found").replaceChildren(); this.tell("Write what to look for, and its score over the past appears here."); return; }
    this.tell("Trying…", "busy");
    this.later();
  }

  async attempt() {
    const { rule, past } = this;
    const { camera } = this.state;
    if (!rule || camera === null) return;
    this.stop?.abort();
    const stop = this.stop = new AbortController();
    const range = Number(this.form.elements.span.value);
    const to = past?.newest ?? Date.now() / 1000;
    const from = Math.max(to - range, past?.oldest ?? to - range);
    try {
      const result = await this.api.send("POST", cameraPath(camera, "/alerts/try"), { rules: [rule], from, to: to + 1 }, { signal: stop.signal });
      if (stop.signal.aborted || camera !== this.state.camera) return;
      this.show(result, { rule, from, to });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.tell(problem.message, "problem");
      this.plot.clear();
      byId("found").replaceChildren();
    }
  }

  show({ events, scores, moments }, { rule, from, to }) {
    this.plot.show({ times: scores.times, scores: scores.rules[rule.name] ?? Object.values(scores.rules)[0] ?? [], events, from, to });
    const span = lasting(to - from).replace(" ", "\u00a0");
    if (!moments) this.tell(`Nothing is kept of the last ${span}, so there is nothing to try it on.`);
    else this.tell(`Would ${["not have fired", "have fired once", "have fired twice"][events.length] ?? `have fired ${events.length} times`} in ${span}${rule.zone ? ", in this zone" : ""}.`, "good");
    byId("found").replaceChildren(...events.slice(-MOST_FOUND).reverse().map((event) => this.event(event, rule.zone)));
  }

  event({ frame_urls, start, score }, zone) {
    const image = make("img", { alt: "", loading: "lazy", src: frame_urls[0] ?? "" });
    const picture = make("span", { className: "found-picture" }, image, zone ? outlineOver(image, zone) : null);
    return make("li", {}, make("a", { href: hrefOf(this.state.camera, frame_urls.length ? secondOf(frame_urls[0]) : start) },
      picture, make("time", { textContent: clock(start) }), make("small", { textContent: `${Math.round(score * 100)} %` })));
  }

  tell(text, kind = "") {
    byId("trial").textContent = text;
    byId("trial").dataset.kind = kind;
  }

  async copy() {
    const text = byId("yaml").textContent;
    try {
      await navigator.clipboard.writeText(text);
      byId("copied").textContent = "Copied";
    } catch { // without https browsers keep the clipboard to themselves
      getSelection().selectAllChildren(byId("yaml"));
      byId("copied").textContent = "Selected: copy it with Ctrl+C";
    }
  }
}

const listed = (text) => text.split(/[;\n]/).map((part) => part.trim()).filter(Boolean);
const secondOf = (url) => Number(/frames\/([\d.]+)\.jpg/.exec(url)?.[1] ?? 0);

// A short name out of the words of a rule: "a package left at the door" is package.
function named(sight) {
  const words = sight.toLowerCase().match(/[a-z0-9äöüß]+/g) ?? [];
  return words.find((word) => !["a", "an", "the", "some", "two", "any", "there", "is", "are"].includes(word)) ?? "rule";
}

// A JSON text is a YAML text, too; durations and plain names stand as people write them.
function yaml(camera, rule) {
  const plain = (key, value) => (["for", "cooldown"].includes(key) && /^[\d.]+[smh]$/.test(value)) || (key === "name" && /^[a-z][\w-]*$/i.test(value) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(value));
  const fields = Object.entries(rule).map(([key, value]) => `${key}: ${plain(key, value) ? value : key === "zone" ? JSON.stringify(value).replaceAll(",", ", ") : JSON.stringify(value)}`);
  return `cameras:\n  ${camera ?? "…"}:\n    alerts:\n      - ${fields.join("\n        ")}\n`;
}
