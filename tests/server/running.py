"""A real uvicorn in a thread, on a free port, with the scripted model behind it."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from llama_vid.config import load_config
from llama_vid.connections import Patience
from llama_vid.listener import Listener, make_listener
from llama_vid.live_types import IngestMaker, LiveModel
from llama_vid.model_loading import bundle_loader
from llama_vid.server import create_app, open_journal, open_port
from llama_vid.settings import Config
from tests.server.scripted import ScriptedModel

if TYPE_CHECKING:
    from llama_vid.memory.journal import Journal

FRONT_AND_BACK: dict[str, Any] = {
    "front": {"url": "rtsp://user:hunter22@127.0.0.1:9/front"},
    "back": {"url": "rtsp://127.0.0.1:9/back"},
}


@dataclass(slots=True)
class RunningServer:
    """The server and what tests need of it."""

    url: str
    model: ScriptedModel
    listener: Listener
    http: httpx.Client
    failures: list[BaseException] = field(default_factory=list)
    journal: Journal | None = None

    @property
    def ws(self) -> str:
        """The websocket's address."""
        return self.url.replace("http", "ws", 1) + "/ws"

    @property
    def host(self) -> str:
        """Host and port, as a `Host` header has them."""
        return self.url.split("://")[1]

    def stop(self) -> None:
        """Asks it to shut down, as Ctrl-C does."""
        self.listener.should_exit = True


def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
    """Waits for a condition and gives its value; fails with `what` after the timeout."""
    limit = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < limit, f"timed out waiting for {what}"
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def running_server(
    cameras: dict[str, Any] | None = None,
    *,
    file: Path | None = None,
    memory: Path | None = None,
    load_model: Callable[[], LiveModel] | None = None,
    real_model: bool = False,
    make_ingest: IngestMaker | None = None,
    patience_s: float = 10.0,
    ready: bool = True,
    server_settings: dict[str, Any] | None = None,
    webrtc: dict[str, Any] | None = None,
    patience: Patience | None = None,
) -> Iterator[RunningServer]:
    """Runs the server for the block, ready to be asked unless `ready` is False; with a journal if `memory` is given.

    `real_model`: the bundle that the configuration names, with that journal, instead of the scripted model.
    `server_settings` and `webrtc` go into those sections; `patience` is how long clients may take.
    """
    model, failures = ScriptedModel(), list[BaseException]()
    if file is not None:
        config = load_config(file)
    else:
        config = Config.model_validate(
            {
                "server": {"port": 0} | (server_settings or {}),
                "webrtc": webrtc or {},
                "memory": {} if memory is None else {"path": memory},
                "cameras": FRONT_AND_BACK if cameras is None else cameras,
            }
        )
    journal = open_journal(config) if memory is not None else None
    if real_model:
        load_model = bundle_loader(config, journal)
    app = create_app(
        load_model or (lambda: model),
        config,
        journal=journal,
        make_ingest=make_ingest,
        on_failure=failures.append,
        patience_s=patience_s,
        poll_s=0.05,
        look_s=0.05,
    )
    listener = make_listener(app, config.server, patience=patience)
    with contextlib.closing(open_port(config.server)) as port, contextlib.ExitStack() as last:
        if journal is not None:
            last.enter_context(contextlib.closing(journal))
        thread = threading.Thread(target=listener.run, args=([port],), name="test-server")
        thread.start()
        try:
            until(lambda: listener.started or not thread.is_alive(), "the port to open")
            tls = config.server.tls
            url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port.getsockname()[1]}"
            trusted = ssl.create_default_context(cafile=str(tls.cert)) if tls is not None else True
            with httpx.Client(base_url=url, timeout=10, trust_env=False, verify=trusted) as http:
                server = RunningServer(url, model, listener, http, failures, journal)
                if ready:
                    until(lambda: http.get("/readyz").status_code == 200, "the model")
                    until(lambda: model.sessions.keys() >= config.cameras.keys(), "the cameras")
                yield server
        finally:
            listener.should_exit = True
            thread.join(15)
            assert not thread.is_alive(), "the server did not stop"
