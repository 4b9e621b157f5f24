// The websocket of the page: connects, connects again, asks one question at a time.

const PAUSES = [500, 1000, 2000, 5000, 10000]; // milliseconds between attempts; the last one stays

export class Link {
  constructor({ state, status }) {
    this.state = "connecting";
    this.tell = state;
    this.status = status;
    this.attempt = 0;
    this.number = 0;
    this.open = null; // the question that is open: { event_id, response_id, handlers }
    this.connect();
  }

  connect() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    this.socket = new WebSocket(address);
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = (event) => this.lost(event);
  }

  lost(event) {
    this.open?.handlers.error("The connection to the server was lost; ask again when it is back.");
    this.open = null;
    const why = event.code === 1001 ? "The server is shutting down" : event.code === 1013 ? "This page was too slow" : "No connection to the server";
    this.change("lost", `${why}, trying again…`);
    setTimeout(() => this.connect(), PAUSES[Math.min(this.attempt++, PAUSES.length - 1)]);
  }

  change(state, text) {
    this.state = state;
    this.tell(state, text);
  }

  async take(message) {
    if (message.type === "session.created") {
      this.attempt = 0;
      if (message.model) this.change("ready", `Connected · ${message.model}`);
      this.wait();
    } else if (message.type === "stream.status") {
      this.status(message);
    } else if (message.type === "error") {
      if (this.open && message.event_id === this.open.event_id) this.end("error", message.message);
    } else if (message.type === "response.created") {
      if (!this.open || message.event_id !== this.open.event_id) return;
      this.open.response_id = message.response_id;
      if (this.open.unwanted) this.cancel();
    } else if (this.open && message.response_id === this.open.response_id) {
      if (message.type === "response.output_text.delta") this.open.handlers.delta(message.delta);
      if (message.type === "response.done") this.end("done", message);
    }
  }

  // The port opens before the model is loaded; and memory may be unable to reach its disk.
  async wait() {
    const socket = this.socket;
    while (this.socket === socket && socket.readyState === WebSocket.OPEN) {
      try {
        const health = await (await fetch("/readyz")).json();
        const failing = health.memory?.state === "failing" ? " · memory is not being kept" : "";
        if (health.ready) { this.change("ready", `Connected · ${health.model}${failing}`); return; }
        this.change("connecting", `Connected; ${health.reason}`);
      } catch { return; }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  ask(camera, question, handlers) {
    this.open = { event_id: `page_${++this.number}`, response_id: null, handlers };
    this.socket.send(JSON.stringify({ type: "response.create", event_id: this.open.event_id, camera, question, conversation: `page-${camera}` }));
  }

  cancel() {
    if (!this.open) return;
    this.open.unwanted = true; // also when the server has not said its id yet
    if (this.open.response_id) this.socket.send(JSON.stringify({ type: "response.cancel", response_id: this.open.response_id }));
  }

  end(kind, value) {
    const { handlers } = this.open;
    this.open = null;
    handlers[kind](value);
  }
}
