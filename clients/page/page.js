// The page of LLaMA-VID Live: brings its parts together. Everything that comes from outside is shown as text only.

import { Add } from "/page/add.js";
import { Alerts } from "/page/alerts.js";
import { Api } from "/page/api.js";
import { Chapters } from "/page/chapters.js";
import { Chat } from "/page/chat.js";
import { byId, every } from "/page/dom.js";
import { Keeping } from "/page/keeping.js";
import { Link } from "/page/link.js";
import { Memory } from "/page/memory.js";
import { Past } from "/page/past.js";
import { Publisher } from "/page/publisher.js";
import { Route } from "/page/route.js";
import { Rules } from "/page/rules.js";
import { Scenes } from "/page/scenes.js";
import { Search } from "/page/search.js";
import { SignIn } from "/page/signin.js";
import { Stage } from "/page/stage.js";
import { State } from "/page/state.js";
import { Subtitles } from "/page/subtitles.js";
import { Tabs } from "/page/tabs.js";
import { Timeline } from "/page/timeline.js";
import { Wall } from "/page/wall.js";

const PERIOD_MS = 5000; // how often cameras and the timeline are asked for

function open() {
  const state = new State();
  const api = new Api();
  let [alerts, rules, add, past, signed] = [null, null, null, null, false];
  const route = new Route(state);
  const link = new Link(state, api);
  const tabs = new Tabs(byId("tabs"), (name) => {
    if (alerts) alerts.looked = name === "alerts";
    if (rules) rules.zone.looking = name === "rules";
  });
  const allow = () => tabs.allow(state.camera === null ? ["ask", "alerts"] : ["ask", "alerts", "rules", "memory"]);
  allow();
  const subtitles = new Subtitles(state, { box: byId("subtitles"), button: byId("captions") });
  new Stage(state, api, route);
  const timeline = new Timeline(state, route);
  const scenes = new Scenes(state);
  new Search(state, api);
  const chapters = new Chapters(state);
  rules = new Rules(state, api, route);
  new Chat(state, link);
  alerts = new Alerts(state, api, { chosen: (names) => state.tell("chosen", names) });
  new Memory(state, api, { leave: (camera) => route.go(camera), removed: () => readCameras() });

  const keeping = new Keeping(state, api, { forgotten: () => watchPast(true) });

  const publishers = {};
  const told = () => add?.show();
  const ready = async (camera) => { byId("add").close(); await readCameras(); route.go(camera); };
  for (const kind of ["webcam", "screen"]) publishers[kind] = new Publisher(kind, state, api, { told, ready });
  add = new Add(state, api, publishers, { added: async (camera) => { await readCameras(); route.go(camera); } });
  new Wall(state, { add: () => add.open() });
  for (const button of document.querySelectorAll("[data-add]")) button.addEventListener("click", () => add.open());

  // ---- the past of the camera that is shown
  const tell = () => {
    for (const part of [timeline, chapters, scenes, rules, keeping]) part.use(past);
    subtitles.past = (second) => past.saidAt(second);
    subtitles.show();
  };
  const watchPast = (anew) => {
    const mine = state.camera === null ? null : new Past(api, state.camera, { changed: () => { if (past === mine) tell(); }, open: () => Boolean(state.shown?.open) });
    past = mine;
    if (!past) return;
    if (!anew) tell(); // after forgetting, what was there stays until what is left has come
    past.refresh();
  };
  state.on("place", ({ moved }) => {
    if (!moved) return;
    allow();
    watchPast(false);
  });
  state.on("alert", (event) => { if (past?.camera === event.camera) past.takeAlert(event); });

  // ---- the server
  async function readCameras() {
    if (!signed || document.body.dataset.signed === "out") return;
    try {
      state.setCameras((await api.get("/api/cameras")).cameras);
      byId("cameras-problem").textContent = "";
    } catch (problem) {
      if (problem.status) byId("cameras-problem").textContent = problem.message; // else the link says it
    }
  }
  state.on("status", (message) => {
    if (state.cameras.has(message.camera) && message.state !== "removed") state.setStatus(message);
    else if (state.loaded) readCameras();
  });
  state.on("link", ({ before }) => {
    const { state: now, text } = state.link;
    document.body.dataset.link = now;
    byId("link").dataset.state = now;
    byId("link").title = text;
    byId("link-words").textContent = now === "ready" ? `Connected · ${text}` : now === "lost" ? "Not connected" : text; // the banner says why
    byId("lost").hidden = now !== "lost";
    byId("lost-words").textContent = text;
    if (now !== before && ["ready", "loading"].includes(now)) { readCameras(); past?.refresh(); }
  });
  byId("retry").addEventListener("click", () => link.connect());

  const entered = async () => {
    signed = true;
    await api.learn().catch(() => {}); // then it offers only what every server has
    link.connect();
    await readCameras();
  };
  const sign = new SignIn(state, api, { entered });
  sign.check().then((may) => { if (may) entered(); }, () => { entered(); });

  every(PERIOD_MS, readCameras);
  every(PERIOD_MS, async () => { if (document.body.dataset.signed !== "out" && state.link.state !== "lost") await past?.refresh(); });
}

open();
