// The addresses of the server. Errors are ApiErrors with the server's own words; 401 is told to whoever asks for sign-in.

export class ApiError extends Error {
  constructor(message, { status = 0, code = "", param = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, param: param ?? "" });
  }
}

export class Api {
  constructor() {
    this.unauthorised = () => {};
    this.paths = null; // what /openapi.json lists: this page also runs against a server that has less
  }

  async request(path, options = {}) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (problem) {
      if (problem.name === "AbortError") throw problem;
      throw new ApiError("The server does not answer.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) this.unauthorised();
    throw await refusal(answer);
  }

  async get(path, options) {
    return (await this.request(path, options)).json();
  }

  async text(path) {
    return (await this.request(path)).text();
  }

  // Sends JSON; gives the answer's JSON, null where there is none.
  async send(method, path, body, options = {}) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const answer = await this.request(path, { ...options, method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    return answer.status === 204 ? null : answer.json();
  }

  // Whether the server has an address that begins so. False until `learn` has been told.
  offers(prefix) {
    return (this.paths ?? []).some((path) => path.startsWith(prefix));
  }

  async learn() {
    this.paths = Object.keys((await this.get("/openapi.json")).paths);
  }
}

export function cameraPath(camera, rest = "") {
  return `/api/cameras/${encodeURIComponent(camera)}${rest}`;
}

export function framePath(camera, seconds) {
  return cameraPath(camera, `/frames/${Number(seconds.toFixed(3))}.jpg`);
}

async function refusal(answer) {
  let error = {};
  try {
    error = (await answer.json()).error ?? {};
  } catch { /* not ours: a proxy's page, perhaps */ }
  const message = error.message ?? `The server answered ${answer.status}.`;
  return new ApiError(message, { status: answer.status, code: error.code, param: error.param });
}
