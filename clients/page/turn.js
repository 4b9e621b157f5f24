// One question and its answer. Every time in it is a link to that moment, and the pictures that it rests on stand below.

import { make } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { clock, spellings } from "/page/time.js";

const TIMES = 12; // of one answer
const PICTURES = 3; // one row
const TIME = /\b\d{1,2}:\d{2}(?::\d{2})?\b/g;

export class Turn {
  constructor(question, { camera, about }) {
    this.camera = camera;
    this.about = about;
    this.text = "";
    this.words = document.createTextNode("");
    this.answer = make("div", { className: "answered", data: { busy: "true" } }, this.words);
    this.proof = make("ul", { className: "proof", aria: { label: "Moments that the answer rests on" }, hidden: true });
    this.facts = make("p", { className: "facts" });
    this.element = make("article", { className: "turn" }, make("p", { className: "asked", textContent: question }), this.answer, this.proof, this.facts);
  }

  add(delta) {
    this.text += delta;
    this.words.data = this.text;
  }

  fail(text) {
    this.answer.dataset.busy = "false";
    this.answer.append(make("p", { className: "problem", textContent: text }));
  }

  finish(message) {
    this.text = message.answer || this.text;
    this.answer.dataset.busy = "false";
    const moments = this.moments(message);
    if (message.answers?.length > 1) this.answer.replaceChildren(...message.answers.map((part) => said(part, moments)));
    else this.answer.replaceChildren(...linked(this.text, moments));
    if (message.status === "failed") this.fail(message.error?.message ?? "The answer failed.");
    if (message.status === "cancelled") this.facts.append("Stopped.");
    this.proof.hidden = !moments.length;
    this.proof.append(...moments.map((moment, number) => this.moment(moment, number < PICTURES)));
    if (message.status === "completed" && message.usage) this.facts.append(used(message.usage));
  }

  // The times of an answer with the camera, picture and words of the evidence that they belong to.
  moments({ timestamps = [], evidence = [] }) {
    const found = timestamps.map((seconds) => {
      const proof = evidence.find((item) => item.start <= seconds && seconds <= item.end);
      return { seconds, camera: proof?.camera ?? this.camera ?? this.about[0], caption: proof?.caption ?? "", picture: proof?.frame_url, times: [seconds, proof?.start, proof?.end] };
    });
    const rest = evidence.filter((item) => !timestamps.some((seconds) => item.start <= seconds && seconds <= item.end));
    found.push(...rest.map((item) => ({ seconds: item.start, camera: item.camera, caption: item.caption, picture: item.frame_url, times: [item.start, item.end] })));
    return found.sort((a, b) => a.seconds - b.seconds).slice(0, TIMES);
  }

  moment({ seconds, camera, caption, picture }, pictured) {
    const time = make("time", { textContent: clock(seconds) });
    const link = make("a", { href: hrefOf(camera, seconds), title: caption }, time);
    if (this.camera === null) link.append(make("small", { textContent: camera }));
    if (pictured) {
      const image = make("img", { alt: "", loading: "lazy", src: picture ?? `/api/cameras/${encodeURIComponent(camera)}/frames/${seconds.toFixed(3)}.jpg` });
      image.addEventListener("error", () => image.remove());
      link.prepend(image);
      link.className = "pictured";
    }
    return make("li", { className: pictured ? "shot" : "" }, link);
  }
}

// What one of several cameras answered, or why it did not.
function said({ camera, answer, error }, moments) {
  const mine = moments.filter((moment) => moment.camera === camera);
  const words = error ? [make("span", { className: "problem", textContent: error.message })] : linked(answer, mine);
  return make("p", { className: "part" }, make("a", { className: "who", href: hrefOf(camera), textContent: `${camera}:` }), " ", ...words);
}

// The text with the times of its moments as links.
function linked(text, moments) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(TIME)) {
    const meant = meantBy(found[0], moments);
    if (!meant) continue;
    parts.push(text.slice(end, found.index), make("a", { href: hrefOf(meant.camera, meant.seconds), textContent: found[0] }));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)];
}

// The second that a time in the text means: that of a moment, or where its evidence begins or ends.
function meantBy(word, moments) {
  for (const { camera, times } of moments) {
    const seconds = times.find((time) => time !== undefined && spellings(time).includes(word));
    if (seconds !== undefined) return { camera, seconds };
  }
  return null;
}

function used({ total_s, frames, video }) {
  const read = frames ? ` · ${frames.toLocaleString()} frames as ${video.toLocaleString()} tokens` : "";
  return `${total_s < 0.05 ? "at once" : `${total_s.toFixed(1)} s`}${read}`;
}
