// The page of LLaMA-VID Live. Modules: link.js speaks the websocket, webcam.js publishes over WHIP. Everything that comes from
// outside is shown with textContent only.
import { Link } from "/page/link.js";
import { Webcam } from "/page/webcam.js";

const $ = (id) => document.getElementById(id);
const cameras = new Map(); // id -> camera as the API describes it
let current = null;
let turn = null; // the question that is being answered
let timelineKey = "";
let link = { state: "connecting" };

function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

// Files count from 0, live cameras in UTC epoch seconds: one clock, two ways to write it.
function clock(seconds, short = false) {
  if (seconds > 1e8) {
    const date = new Date(seconds * 1000);
    const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    const today = date.toDateString() === new Date().toDateString();
    return today || short ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
  }
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (h ? `${h}:${String(m).padStart(2, "0")}` : `${m}`) + `:${String(s).padStart(2, "0")}`;
}

function lasting(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const WORDS = { connecting: "connecting", live: "live", stalled: "no picture", reconnecting: "reconnecting", ended: "ended", failed: "failed" };

// ---- cameras

function showCameras() {
  const items = [...cameras.values()].sort((a, b) => a.id.localeCompare(b.id)).map((camera) => {
    const button = make("button", { type: "button", title: camera.reason || "" },
      make("i", { className: "dot" }), make("strong", { textContent: camera.id }),
      make("small", { textContent: camera.watched_s >= 1 ? `${WORDS[camera.state] ?? camera.state} · ${lasting(camera.watched_s)} in memory` : WORDS[camera.state] ?? camera.state }));
    button.dataset.state = camera.state;
    button.dataset.id = camera.id;
    if (camera.id === current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => choose(camera.id));
    return make("li", {}, button);
  });
  const focused = document.activeElement?.dataset?.id;
  $("cameras").replaceChildren(...items);
  if (focused) $("cameras").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  $("no-cameras").hidden = cameras.size > 0;
  showStage();
}

async function loadCameras() {
  try {
    const answer = await fetch("/api/cameras");
    const list = (await answer.json()).cameras;
    cameras.clear();
    for (const camera of list) cameras.set(camera.id, camera);
    if (!cameras.has(current)) choose([...cameras.keys()].sort()[0] ?? null);
    showCameras();
    webcam.describe(list);
  } catch { /* the link says that the server is gone */ }
}

function choose(id) {
  if (id === current) return;
  current = id;
  $("stage").dataset.empty = "true";
  $("picture").removeAttribute("src");
  timelineKey = "";
  $("timeline").replaceChildren();
  showCameras();
  refreshPicture();
  refreshTimeline();
}

function showStage() {
  const camera = cameras.get(current);
  $("stage-name").textContent = camera?.id ?? "";
  $("stage-facts").textContent = camera?.tokens.frames ? `${camera.tokens.frames.toLocaleString()} frames · ${camera.tokens.video.toLocaleString()} tokens` : "";
  const empty = $("stage").dataset.empty === "true";
  let text = "";
  if (link.state === "lost") text = empty ? "No connection to the server." : "Not live: no connection";
  else if (!camera) text = cameras.size ? "Choose a camera." : "No camera to show.";
  else if (camera.state !== "live" && !(camera.state === "ended" && !empty)) {
    text = { failed: "This camera failed.", ended: "The video has ended.", stalled: "No new picture for a while.",
      reconnecting: "Waiting for the camera.", connecting: "Connecting to the camera…" }[camera.state] ?? camera.state;
    if (empty && camera.reason) text += `\n${camera.reason}`;
  } else if (empty) text = "Waiting for the first picture…";
  $("stage-note").replaceChildren(...text.split("\n").filter(Boolean).map((line) => make("p", { textContent: line })));
  $("stage-note").hidden = !text;
  $("stage-note").dataset.over = String(!empty);
  $("send").disabled = !turn && (!camera || link.state !== "ready");
  $("question").placeholder = camera ? `Ask about ${camera.id}…` : "Ask a question…";
}

// Once a second, the next only after the last has come; not at all while nobody looks.
async function refreshPicture() {
  const id = current;
  if (!id || document.hidden || !["ready", "connecting"].includes(link.state)) return;
  if (cameras.get(id)?.state === "failed" && $("stage").dataset.empty === "true") return;
  try {
    const answer = await fetch(`/api/cameras/${id}/snapshot.jpg`);
    if (!answer.ok || id !== current) return;
    const url = URL.createObjectURL(await answer.blob());
    const picture = $("picture");
    const old = picture.src;
    picture.onload = () => { if (old.startsWith("blob:")) URL.revokeObjectURL(old); };
    picture.src = url;
    picture.alt = `Live picture of ${id}`;
    if ($("stage").dataset.empty === "true") { $("stage").dataset.empty = "false"; showStage(); }
  } catch { /* the link says that the server is gone */ }
}

async function refreshTimeline() {
  const id = current;
  if (!id || document.hidden) { if (!id) { $("timeline-note").hidden = false; } return; }
  try {
    const answer = await fetch(`/api/cameras/${id}/timeline`);
    if (!answer.ok || id !== current) return;
    const spans = (await answer.json()).spans.slice(-200).reverse();
    const key = JSON.stringify(spans);
    if (key === timelineKey) return;
    timelineKey = key;
    $("timeline").replaceChildren(...spans.map((span) => {
      const motion = make("meter", { min: 0, max: 1, value: span.motion, title: `Motion ${Math.round(span.motion * 100)} %` });
      motion.setAttribute("aria-label", "Motion");
      const button = make("button", { type: "button", title: `${clock(span.start)} to ${clock(span.end, true)}, ${lasting(span.end - span.start)}` }, make("time", { textContent: clock(span.start, true) }), motion, make("span", { textContent: span.caption || "–" }));
      button.addEventListener("click", () => view(id, (span.start + span.end) / 2));
      return make("li", {}, button);
    }));
    $("timeline-note").hidden = spans.length > 0;
  } catch { /* the link says that the server is gone */ }
}

function view(camera, seconds, url = `/api/cameras/${camera}/frames/${seconds.toFixed(3)}.jpg`) {
  $("viewer-title").textContent = `${camera}, ${clock(seconds)}`;
  $("viewer-note").hidden = true;
  const picture = $("viewer-picture");
  picture.hidden = false;
  picture.alt = `Picture of ${camera} at ${clock(seconds)}`;
  picture.onerror = () => { picture.hidden = true; $("viewer-note").hidden = false; $("viewer-note").textContent = "This picture is not kept any more."; };
  picture.src = url;
  $("viewer").showModal();
}

// ---- questions

const atEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;
const toEnd = () => { $("log").scrollTop = $("log").scrollHeight; };

function ask(question) {
  $("welcome").hidden = true;
  const answer = make("div", { className: "answered" });
  answer.dataset.busy = "true";
  const facts = make("div", { className: "facts" });
  const about = make("small", { textContent: current });
  $("log").append(make("div", { className: "turn" }, make("div", { className: "asked", textContent: question }, about), answer, facts));
  turn = { camera: current, answer, facts, text: "" };
  showSend();
  toEnd();
  const mine = turn;
  link.ask(current, question, {
    delta(text) { const follow = atEnd(); mine.text += text; answer.textContent = mine.text; if (follow) toEnd(); },
    done(message) { finish(mine, message); },
    error(message) { finish(mine, { status: "failed", answer: mine.text, error: { message } }); },
  });
}

function finish(mine, message) {
  const follow = atEnd();
  mine.answer.dataset.busy = "false";
  mine.answer.textContent = message.answer || mine.text;
  if (message.status === "failed") mine.answer.append(make("p", { className: "problem", textContent: message.error?.message ?? "The answer failed." }));
  if (message.status === "cancelled") mine.facts.append("Stopped.");
  for (const seconds of (message.timestamps ?? []).slice(0, 12)) {
    const proof = message.evidence.find((item) => item.start <= seconds && seconds <= item.end);
    const button = make("button", { type: "button", textContent: clock(seconds), title: proof?.caption || "Show the picture" });
    button.addEventListener("click", () => view(proof?.camera ?? mine.camera, seconds));
    mine.facts.append(button);
  }
  if (message.status === "completed" && message.usage) mine.facts.append(make("span", { textContent: `${message.usage.total_s.toFixed(1)} s` }));
  $("spoken").textContent = mine.answer.textContent;
  if (turn === mine) turn = null;
  showSend();
  if (follow) toEnd();
}

function showSend() {
  $("send").textContent = turn ? "Stop" : "Ask";
  $("send").dataset.stop = String(Boolean(turn));
  showStage();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (turn) { link.cancel(); return; }
  const question = $("question").value.trim();
  if (!question || !current || link.state !== "ready") return;
  $("question").value = "";
  ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); if (!turn) $("form").requestSubmit(); }
  if (event.key === "Escape" && turn) link.cancel();
});
for (const idea of $("ideas").children) {
  idea.addEventListener("click", () => { if (current && link.state === "ready" && !turn) ask(idea.textContent); else { $("question").value = idea.textContent; $("question").focus(); } });
}
$("viewer").addEventListener("click", (event) => { if (event.target === $("viewer")) $("viewer").close(); });

// ---- the link, the webcam, the rhythm

link = new Link({
  state(state, text) { document.body.classList.toggle("offline", state === "lost"); $("link").dataset.state = state; $("link").lastElementChild.textContent = text; showStage(); if (state === "ready") loadCameras(); },
  status(message) {
    const camera = cameras.get(message.camera);
    if (!camera || message.state === "removed") { loadCameras(); return; }
    Object.assign(camera, { state: message.state, reason: message.reason });
    showCameras();
  },
});
const webcam = new Webcam({
  button: $("webcam"), note: $("webcam-note"),
  async ready(id) { await loadCameras(); choose(id); },
});

function every(milliseconds, work) {
  const beat = async () => { await work(); setTimeout(beat, milliseconds); };
  beat();
}
every(1000, refreshPicture);
every(5000, refreshTimeline);
every(5000, loadCameras);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { refreshPicture(); refreshTimeline(); } });
