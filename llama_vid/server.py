"""The live server: one port, the cameras behind it, and the model that loads while the port is open already."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fastapi import FastAPI, WebSocket

from llama_vid import (
    routes_access,
    routes_alerts,
    routes_cameras,
    routes_captions,
    routes_memory,
    routes_openai,
    routes_page,
    routes_search,
    routes_whep,
    routes_whip,
)
from llama_vid.access import access_of
from llama_vid.access_desk import LOOK_S, AccessDesk
from llama_vid.access_gate import Gate
from llama_vid.access_views import AllowedAlerts, AllowedCameras, AllowedCaptions
from llama_vid.alert_desk import AlertDesk
from llama_vid.announcing import Announcements, ServerCameras
from llama_vid.api_schema import describe_api
from llama_vid.camera_desk import CameraDesk
from llama_vid.clients.closing import Closing
from llama_vid.clients.openai_chat import OpenChats
from llama_vid.clients.outbox import PATIENCE_S
from llama_vid.clients.websocket import serve_client
from llama_vid.config import check_bind
from llama_vid.config_watch import POLL_S, file_stamp, watch_config
from llama_vid.connections import make_room
from llama_vid.errors import LlamaVidError
from llama_vid.guard import Guard
from llama_vid.history import History
from llama_vid.listener import Listener, make_listener
from llama_vid.live_types import IngestMaker, ModelLoader
from llama_vid.metrics import Metrics
from llama_vid.model_loading import ModelLoading, bundle_loader, token_maker
from llama_vid.refusals import add_refusals
from llama_vid.request_ids import RequestIds
from llama_vid.settings import Config, ServerSettings
from llama_vid.spare_memory import keep_giving_back, settled
from llama_vid.webrtc_desk import WebrtcDesk

if TYPE_CHECKING:
    from llama_vid.memory.journal import Journal

#: The modules whose `router` the application serves. A new address also needs its row in `llama_vid.access_needs`.
ROUTES = (
    routes_access,
    routes_alerts,
    routes_cameras,
    routes_captions,
    routes_memory,
    routes_openai,
    routes_page,
    routes_search,
    routes_whep,
    routes_whip,
)

#: Has a cluster have so many workers.
Scale = Callable[[int], Awaitable[None]]

__all__ = ["create_app", "make_server", "open_journal", "open_port", "serve"]


def create_app(
    load_model: ModelLoader,
    config: Config,
    *,
    journal: Journal | None = None,
    make_ingest: IngestMaker | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    patience_s: float = PATIENCE_S,
    poll_s: float = POLL_S,
    look_s: float = LOOK_S,
    scale: Scale | None = None,
) -> FastAPI:
    """The application. `load_model` runs in a thread from start-up on; questions need it, the port is open at once.

    `journal` is the memory on disk, which the application reads and whoever opened it closes, after the application has
    ended; without one there is no past but what the sessions hold. `on_failure` is called in the event loop when the
    model cannot be loaded; the server then stays up, never ready. `scale` has a cluster have so many workers.
    """
    stamp = file_stamp(config.file) if config.file is not None else None
    alerts = AlertDesk(journal)
    announcements = Announcements.of(config)
    access = AccessDesk(config.server.tokens_file, config.server.limits)
    webrtc = WebrtcDesk(config.webrtc)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            CameraDesk(webrtc.ingest if make_ingest is None else make_ingest, alerts, webrtc.view) as desk,
            webrtc,
        ):
            app.state.desk, app.state.webrtc = desk, webrtc
            loading = ModelLoading(load_model, desk, on_failure)
            app.state.not_ready = loading.reason
            app.state.journal = journal
            app.state.history = History(desk, journal)
            app.state.metrics = Metrics(desk, loading, journal)
            app.state.chats = OpenChats(app.state.metrics.answered, app.state.closing)
            zone = ZoneInfo(config.timezone) if config.timezone else None
            app.state.zone = zone or datetime.now().astimezone().tzinfo or UTC
            if journal is not None:
                announcements.open(journal.alerts)
            for name, settings in config.cameras.items():
                desk.add(name, settings)
            async with asyncio.TaskGroup() as group:
                watcher = watch_config(config, desk, poll_s=poll_s, stamp=stamp, scale=scale)
                tasks = [
                    group.create_task(loading.run(), name="model-loader"),
                    group.create_task(watcher, name="config-watcher"),
                    group.create_task(alerts.run(), name="alert-teller"),
                    group.create_task(access.run(look_s), name="access-watcher"),
                    group.create_task(keep_giving_back(), name="spare-memory"),
                ]
                if journal is not None:
                    cameras = ServerCameras(desk, app.state.history, journal, zone)
                    tasks += announcements.start(group, cameras, journal.alerts)
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()

    app = FastAPI(title="LLaMA-VID Live", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.access = access
    app.state.closing = Closing()
    for routes in ROUTES:
        app.include_router(routes.router)

    @app.websocket("/ws")
    async def websocket(connection: WebSocket) -> None:
        state, rights = app.state, access_of(connection)
        await serve_client(
            connection,
            AllowedCameras(state.desk, rights),
            alerts=AllowedAlerts(alerts, rights),
            captions=AllowedCaptions(state.desk.captions, rights),
            patience_s=patience_s,
            answered=state.metrics.answered,
            before_question=lambda: access.count_question(rights),
            closing=state.closing,
        )

    describe_api(app)
    add_refusals(app)
    app.add_middleware(Gate, desk=access)
    app.add_middleware(Guard, host=config.server.host, hosts=config.server.hosts)
    app.add_middleware(RequestIds)  # added last, so it comes first
    return app


def make_server(
    config: Config,
    load_model: ModelLoader | None = None,
    *,
    journal: Journal | None = None,
    make_ingest: IngestMaker | None = None,
    on_open: Callable[[str, int], None] | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    scale: Scale | None = None,
) -> Listener:
    """The server, to be awaited inside a running loop: `await make_server(config).serve([open_port(config.server)])`.

    `journal` (see `open_journal`) must outlive it; without one nothing is kept. Setting its `should_exit` ends it.
    Raises ConfigError when it would listen beyond loopback.
    """
    check_bind(config.server)
    load_model = load_model or bundle_loader(config, journal)
    app = create_app(load_model, config, journal=journal, make_ingest=make_ingest, on_failure=on_failure, scale=scale)
    return make_listener(app, config.server, on_open)


def serve(
    config: Config,
    *,
    load_model: ModelLoader | None = None,
    make_ingest: IngestMaker | None = None,
    on_open: Callable[[str, int], None] | None = None,
    journal_of: Callable[[Config], Journal] | None = None,
    scale: Scale | None = None,
) -> None:
    """Runs the server until Ctrl-C or SIGTERM. `on_open(host, port)` is called when the port is open; by default the
    address is said on stderr. Follows the file that `config` came from, and keeps what it sees in its memory folder;
    a cluster opens the journal its own way (`journal_of`).

    Raises ConfigError for a bind address that is not loopback and for a memory folder that a newer version wrote,
    LlamaVidError for a port or a memory folder that another program has, and what `load_model` raised: a server whose
    model cannot be loaded is of no use.
    """
    failures: list[BaseException] = []

    def give_up(problem: BaseException) -> None:
        failures.append(problem)
        server.should_exit = True

    def say(host: str, port: int) -> None:
        scheme = "https" if config.server.tls is not None else "http"
        print(
            f"LLaMA-VID Live on {scheme}://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C stops it)",
            file=sys.stderr,
        )

    check_bind(config.server)
    make_room(config.server.limits)
    opened = open_journal if journal_of is None else journal_of
    with contextlib.closing(open_port(config.server)) as port, contextlib.closing(opened(config)) as journal:
        load = settled(load_model or bundle_loader(config, journal))
        server = make_server(
            config, load, journal=journal, make_ingest=make_ingest, on_open=on_open or say, on_failure=give_up,
            scale=scale,
        )  # fmt: skip
        with _ended_by_signals():
            server.run([port])
    if failures:
        raise failures[0]


def open_journal(config: Config) -> Journal:
    """The memory on disk, to be closed by the caller when the cameras are. A disk that fails is no error: see `state`.

    Its entries are those of the configured model; what another one left is told and shown, but not read as tokens.
    Raises LlamaVidError when another server has the folder, ConfigError when a newer version of the program wrote it.
    """
    from llama_vid.memory.journal import Journal  # imports torch

    return Journal(
        config.memory_folder,
        retention_days=config.memory.retention_days,
        retention_gb=config.memory.retention_gb,
        model=token_maker(config.model.name),
    )


def open_port(settings: ServerSettings) -> socket.socket:
    """The listening socket (port 0: any free one). Raises LlamaVidError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off for sockets that say they are TCP alone: without, a small answer waits 40 ms.
    port = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        port.bind((settings.host, settings.port))
    except OSError as problem:
        port.close()
        raise LlamaVidError(
            f"Port {settings.port} on {settings.host} cannot be opened ({problem.strerror}); "
            "stop the program that has it, or set server.port to another one."
        ) from None
    return port


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """uvicorn stops on SIGINT and SIGTERM and then raises them again, for which this is a quiet end, not a death."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
