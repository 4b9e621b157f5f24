// Questions and answers: a conversation for each camera, and one about all of them.

import { byId, make } from "/page/dom.js";
import { Turn } from "/page/turn.js";

const ASKABLE = ["live", "stalled", "reconnecting", "ended"];
const MOST_CAMERAS = 64; // of one question

export class Chat {
  constructor(state, link) {
    Object.assign(this, { state, link });
    this.talks = new Map(); // camera or null -> { log, number, turn }
    this.counted = 0;
    this.field = byId("question");
    this.send = byId("send");
    byId("form").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.field.addEventListener("keydown", (event) => this.key(event));
    for (const idea of byId("ideas").children) idea.addEventListener("click", () => this.suggest(idea.textContent));
    byId("anew").addEventListener("click", () => this.begin());
    for (const name of ["place", "cameras", "link", "access"]) state.on(name, () => this.show());
    this.show();
  }

  get talk() {
    const key = this.state.camera;
    if (!this.talks.has(key)) this.talks.set(key, { log: make("div", { className: "turns" }), number: ++this.counted, turn: null });
    return this.talks.get(key);
  }

  // A new conversation: what was said before is no longer meant by "it" and "then".
  begin() {
    const { talk } = this;
    if (talk.turn) this.link.cancel(talk.turn.id);
    talk.log.remove();
    this.talks.delete(this.state.camera);
    this.show();
    this.field.focus();
  }

  get about() {
    const { camera, cameras, names } = this.state;
    if (camera !== null) return [camera];
    return names.filter((name) => ASKABLE.includes(cameras.get(name).state)).slice(0, MOST_CAMERAS);
  }

  get ready() {
    return this.state.link.state === "ready" && this.about.length > 0 && this.state.may("ask");
  }

  submit() {
    if (this.talk.turn) { this.link.cancel(this.talk.turn.id); return; }
    const question = this.field.value.trim();
    if (!question || !this.ready) return;
    this.field.value = "";
    this.ask(question);
  }

  suggest(question) {
    if (this.ready && !this.talk.turn) { this.ask(question); return; }
    this.field.value = question;
    this.field.focus();
  }

  ask(question) {
    const { talk, about } = this;
    const turn = new Turn(question, { camera: this.state.camera, about });
    talk.turn = turn;
    talk.log.append(turn.element);
    this.show();
    toEnd();
    const follow = (work) => { const near = atEnd(); work(); if (near) toEnd(); };
    const over = () => { if (talk.turn === turn) talk.turn = null; this.show(); };
    turn.id = this.link.ask(about, question, `page-${talk.number}`, {
      delta: (text) => follow(() => turn.add(text)),
      done: (message) => { follow(() => turn.finish(message)); byId("spoken").textContent = turn.text; over(); },
      error: (text) => { follow(() => turn.fail(text)); byId("spoken").textContent = text; over(); },
    });
  }

  show() {
    const { state, talk } = this;
    const box = byId("talk");
    if (talk.log.parentElement !== box) {
      box.querySelector(".turns")?.remove();
      box.append(talk.log);
      toEnd();
    }
    const begun = talk.log.childElementCount > 0;
    byId("welcome").hidden = begun;
    byId("anew").hidden = !begun;
    this.send.lastElementChild.textContent = talk.turn ? "Stop" : "Ask";
    this.send.dataset.stop = String(Boolean(talk.turn));
    this.send.disabled = !talk.turn && !this.ready;
    this.field.placeholder = this.hint();
    byId("welcome-title").textContent = state.camera === null ? "Ask about all cameras" : `Ask about ${state.camera}`;
  }

  hint() {
    const { state } = this;
    if (!state.may("ask")) return "Your token may not ask questions";
    if (state.link.state === "loading") return "The model is loading…";
    if (state.link.state !== "ready") return "Not connected";
    if (!state.cameras.size) return "Add a camera first";
    return state.camera === null ? "Ask about all cameras…" : `Ask about ${state.camera}…`;
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!this.talk.turn) this.submit();
    }
    if (event.key === "Escape" && this.talk.turn) this.link.cancel(this.talk.turn.id);
  }
}

const atEnd = () => { const box = byId("talk"); return box.scrollHeight - box.scrollTop - box.clientHeight < 80; };
const toEnd = () => { byId("talk").scrollTop = byId("talk").scrollHeight; };
