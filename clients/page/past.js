// What one camera saw: scenes, alert events and what was said, read once and then only what is new.

import { cameraPath } from "/page/api.js";

const AGAIN_S = 180; // scenes of the last minutes may still change: they are told again when they are over
const EVENTS = 500;
const CHAPTERS_MS = 60000; // the model divides a talk: that is not asked for with every look

export class Past {
  // `changed()` is called when there is more; `open()` says whether the camera is being watched.
  constructor(api, camera, { changed, open }) {
    Object.assign(this, { api, camera, changed, open });
    this.spans = []; // { start, end, caption, motion } in time order, none overlapping
    this.events = new Map(); // id -> event as the API tells it
    this.cues = []; // { start, end, text }
    this.chapters = [];
    this.older = null; // where older scenes are to be had
    this.state = "loading"; // loading, ready, failed
    this.problem = "";
  }

  get oldest() {
    return this.spans[0]?.start ?? this.cues[0]?.start ?? null;
  }

  get newest() {
    const ends = [this.spans.at(-1)?.end, this.cues.at(-1)?.end].filter((end) => end !== undefined);
    return ends.length ? Math.max(...ends) : null;
  }

  // The scene at a second, or the nearest one.
  sceneAt(seconds) {
    let [low, high] = [0, this.spans.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.spans[middle].start <= seconds) low = middle;
      else high = middle - 1;
    }
    return this.spans[low] ?? null;
  }

  saidAt(seconds) {
    return this.cues.find((cue) => cue.start <= seconds && seconds <= cue.end + 1)?.text ?? "";
  }

  async refresh() {
    try {
      await Promise.all([this.readSpans(), this.readEvents(), this.readCues()]);
      await this.readChapters();
      this.state = "ready";
    } catch (problem) {
      if (this.state === "loading") this.state = "failed";
      this.problem = problem.message;
    }
    this.changed();
  }

  async readSpans() {
    const last = this.spans.at(-1);
    const from = last ? last.end - AGAIN_S : null;
    const answer = await this.api.request(cameraPath(this.camera, `/timeline${from === null ? "" : `?from=${from.toFixed(3)}`}`));
    const { spans } = await answer.json();
    if (from === null) this.older = before(answer);
    const first = spans[0]?.start ?? Infinity;
    this.spans = [...this.spans.filter((span) => span.start < first), ...spans];
  }

  // Scenes down to that second, as far as they are kept.
  async reach(seconds) {
    while (this.older && this.oldest > seconds) {
      const answer = await this.api.request(this.older);
      const { spans } = await answer.json();
      this.older = spans.length ? before(answer) : null;
      this.spans = [...spans.filter((span) => span.start < this.oldest), ...this.spans];
      this.changed();
    }
  }

  async readEvents() {
    const known = [...this.events.values()];
    const newest = Math.max(...known.map((event) => event.start)) - AGAIN_S;
    const open = known.filter((event) => event.end === null).map((event) => event.start);
    const from = known.length ? `&from=${Math.max(0, Math.min(newest, ...open)).toFixed(3)}` : "";
    const { events } = await this.api.get(cameraPath(this.camera, `/events?limit=${EVENTS}${from}`));
    for (const event of events) this.events.set(event.id, event); // those of the websocket may not be on disk yet
  }

  async readCues() {
    const last = this.cues.at(-1);
    const from = last ? last.end - 0.01 : null;
    const text = await this.api.text(cameraPath(this.camera, `/captions.vtt${from === null ? "" : `?from=${from.toFixed(3)}`}`));
    const cues = readVtt(text);
    const first = cues[0]?.start ?? Infinity;
    this.cues = [...this.cues.filter((cue) => cue.end <= first), ...cues];
  }

  async readChapters() {
    if (!this.cues.length || !this.open() || !this.api.offers("/api/cameras/{camera_id}/chapters")) return;
    if (performance.now() - (this.divided ?? -Infinity) < CHAPTERS_MS) return;
    this.divided = performance.now();
    this.chapters = (await this.api.get(cameraPath(this.camera, "/chapters"))).chapters;
  }

  // An event as the websocket tells it.
  takeAlert(message) {
    const known = this.events.get(message.id);
    this.events.set(message.id, { ...known, ...message, frame_urls: known?.frame_urls ?? [message.frame_url] });
    this.changed();
  }
}

function before(answer) {
  return /<([^>]+)>;\s*rel="prev"/.exec(answer.headers.get("Link") ?? "")?.[1] ?? null;
}

// The file's times count from its origin, which its note tells.
function readVtt(text) {
  const origin = Number(/NOTE 0 is ([\d.]+) s/.exec(text)?.[1] ?? 0);
  const cues = [];
  for (const block of text.split(/\n\n+/)) {
    const [times, ...lines] = block.split("\n");
    const found = /^(\d+):(\d+):([\d.]+) --> (\d+):(\d+):([\d.]+)/.exec(times);
    if (!found) continue;
    const [h, m, s, h2, m2, s2] = found.slice(1).map(Number);
    const words = lines.join(" ").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&").trim();
    cues.push({ start: origin + h * 3600 + m * 60 + s, end: origin + h2 * 3600 + m2 * 60 + s2, text: words });
  }
  return cues;
}
