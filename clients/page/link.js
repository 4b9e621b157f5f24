// The websocket of the page: connects, connects again, asks, and hands what comes to the state.

const PAUSES = [500, 1000, 2000, 5000, 10000]; // milliseconds between attempts; the last one stays
const LOADING_MS = 1500; // how often to ask whether the model is loaded
const HEALTH_MS = 30000; // and whether memory is kept

export class Link {
  constructor(state, api) {
    this.state = state;
    this.api = api;
    this.attempt = 0;
    this.number = 0;
    this.asked = new Map(); // event_id -> { handlers, response_id, unwanted }
    this.answering = new Map(); // response_id -> the same
  }

  connect() {
    clearTimeout(this.timer);
    this.socket?.close();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    socket.onmessage = (event) => { if (socket === this.socket) this.take(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.lost(event); };
  }

  lost(event) {
    this.socket = null;
    clearTimeout(this.health);
    for (const turn of this.asked.values()) turn.handlers.error("The connection to the server was lost. Ask again when it is back.");
    this.asked.clear();
    this.answering.clear();
    if (event.code === 1008) {
      this.state.setLink("refused", "Not signed in");
      this.api.unauthorised();
      return;
    }
    const why = { 1001: "The server is stopping", 1013: "This page was too slow" }[event.code] ?? "No connection to the server";
    this.state.setLink("lost", `${why}, trying again…`);
    this.timer = setTimeout(() => this.connect(), PAUSES[Math.min(this.attempt++, PAUSES.length - 1)]);
  }

  take(message) {
    switch (message.type) {
      case "session.created": this.attempt = 0; this.watch(message.model); break;
      case "stream.status": this.state.tell("status", message); break;
      case "alert.new": case "alert.update": case "alert.end": this.state.tell("alert", message); break;
      case "caption.partial": case "caption.final": this.state.tell("caption", message); break;
      case "error": this.end(this.asked.get(message.event_id), "error", message.message); break;
      case "response.created": this.begin(message); break;
      case "response.output_text.delta": this.answering.get(message.response_id)?.handlers.delta(message.delta); break;
      case "response.done": this.end(this.answering.get(message.response_id), "done", message); break;
    }
  }

  // The port opens before the model is loaded; and memory may be unable to reach its disk.
  async watch(model = null) {
    const socket = this.socket;
    if (model) this.state.setLink("ready", model);
    let health;
    try {
      health = await (await fetch("/readyz")).json();
    } catch { return; } // the socket will say so
    if (socket !== this.socket) return;
    const failing = health.memory?.state === "failing" ? " · memory is not being kept" : "";
    if (health.ready) this.state.setLink("ready", `${health.model}${failing}`);
    else this.state.setLink("loading", health.reason || "The model is loading…");
    this.health = setTimeout(() => this.watch(), health.ready ? HEALTH_MS : LOADING_MS);
  }

  // Asks about one camera or several; gives a name by which to cancel. `handlers` are delta(text), done(message), error(text).
  ask(cameras, question, conversation, handlers) {
    const event_id = `page_${++this.number}`;
    this.asked.set(event_id, { event_id, handlers, response_id: null, unwanted: false });
    const about = cameras.length === 1 ? { camera: cameras[0] } : { cameras };
    this.socket.send(JSON.stringify({ type: "response.create", event_id, ...about, question, conversation }));
    return event_id;
  }

  begin(message) {
    const turn = this.asked.get(message.event_id);
    if (!turn) return;
    turn.response_id = message.response_id;
    this.answering.set(message.response_id, turn);
    if (turn.unwanted) this.cancel(turn.event_id);
  }

  cancel(event_id) {
    const turn = this.asked.get(event_id);
    if (!turn) return;
    turn.unwanted = true; // also when the server has not said its id yet
    if (turn.response_id) this.socket.send(JSON.stringify({ type: "response.cancel", response_id: turn.response_id }));
  }

  end(turn, kind, value) {
    if (!turn) return;
    this.asked.delete(turn.event_id);
    this.answering.delete(turn.response_id);
    turn.handlers[kind](value);
  }
}
