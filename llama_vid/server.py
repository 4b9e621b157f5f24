"""The live server: one port, the cameras behind it, and the model that loads while the port is open already."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llama_vid import routes_cameras, routes_page, routes_whip
from llama_vid.camera_desk import CameraDesk
from llama_vid.clients.outbox import PATIENCE_S
from llama_vid.clients.websocket import serve_client
from llama_vid.config import check_bind
from llama_vid.config_watch import POLL_S, file_stamp, watch_config
from llama_vid.errors import LlamaVidError, ProtocolError
from llama_vid.guard import Guard
from llama_vid.listener import Listener, make_listener
from llama_vid.live_types import Ingest, IngestMaker, LiveModel, ModelLoader
from llama_vid.settings import Config, ServerSettings

__all__ = ["create_app", "make_server", "open_port", "serve"]

logger = logging.getLogger(__name__)

#: HTTP statuses of errors that are not simply 400.
STATUSES = {
    "no_such_camera": 404,
    "no_such_frame": 404,
    "not_found": 404,
    "camera_exists": 409,
    "not_publishable": 409,
    "too_many_cameras": 409,
    "too_big": 413,
    "unsupported_media_type": 415,
    "not_ready": 503,
    "unavailable": 503,
}


def create_app(
    load_model: ModelLoader,
    config: Config,
    *,
    make_ingest: IngestMaker | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    patience_s: float = PATIENCE_S,
    poll_s: float = POLL_S,
) -> FastAPI:
    """The application. `load_model` runs in a thread from start-up on; questions need it, the port is open at once.

    `on_failure` is called in the event loop when the model cannot be loaded; the server then stays up, never ready.
    """
    stamp = file_stamp(config.file) if config.file is not None else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with CameraDesk(make_ingest or _whip_ingest) as desk:
            app.state.desk = desk
            loading = _Loading(load_model, desk, on_failure)
            app.state.not_ready = loading.reason
            for name, settings in config.cameras.items():
                desk.add(name, settings)
            async with asyncio.TaskGroup() as group:
                watcher = watch_config(config, desk, poll_s=poll_s, stamp=stamp)
                tasks = [
                    group.create_task(loading.run(), name="model-loader"),
                    group.create_task(watcher, name="config-watcher"),
                ]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()

    app = FastAPI(title="LLaMA-VID Live", lifespan=lifespan, docs_url=None, redoc_url=None)
    for router in (routes_page.router, routes_cameras.router, routes_whip.router):
        app.include_router(router)

    @app.websocket("/ws")
    async def websocket(connection: WebSocket) -> None:
        await serve_client(connection, app.state.desk, patience_s=patience_s)

    app.add_exception_handler(LlamaVidError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(Guard, host=config.server.host)
    return app


def make_server(
    config: Config,
    load_model: ModelLoader | None = None,
    *,
    make_ingest: IngestMaker | None = None,
    on_open: Callable[[str, int], None] | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
) -> Listener:
    """The server, to be awaited inside a running loop: `await make_server(config).serve([open_port(config.server)])`.

    Setting its `should_exit` ends it. Raises ConfigError when it would listen beyond loopback.
    """
    check_bind(config.server)
    app = create_app(load_model or _bundle_loader(config), config, make_ingest=make_ingest, on_failure=on_failure)
    return make_listener(app, config.server, on_open)


def serve(
    config: Config,
    *,
    load_model: ModelLoader | None = None,
    make_ingest: IngestMaker | None = None,
    on_open: Callable[[str, int], None] | None = None,
) -> None:
    """Runs the server until Ctrl-C or SIGTERM. `on_open(host, port)` is called when the port is open.

    Raises ConfigError for a bind address that is not loopback, LlamaVidError for a port that is taken, and what
    `load_model` raised: a server whose model cannot be loaded is of no use.
    """
    failures: list[BaseException] = []

    def give_up(problem: BaseException) -> None:
        failures.append(problem)
        server.should_exit = True

    server = make_server(config, load_model, make_ingest=make_ingest, on_open=on_open, on_failure=give_up)
    port = open_port(config.server)
    with contextlib.closing(port), contextlib.suppress(KeyboardInterrupt):
        server.run([port])
    if failures:
        raise failures[0]


def open_port(settings: ServerSettings) -> socket.socket:
    """The listening socket (port 0: any free one). Raises LlamaVidError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    port = socket.socket(family, socket.SOCK_STREAM)
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


class _Loading:
    """Loads the model once and knows why the server is not ready."""

    def __init__(
        self, load_model: ModelLoader, desk: CameraDesk, on_failure: Callable[[BaseException], None] | None
    ) -> None:
        self._load_model = load_model
        self._desk = desk
        self._on_failure = on_failure
        self._started = time.monotonic()
        self._failure = ""

    def reason(self) -> str:
        """Why questions cannot be answered yet; empty when they can."""
        if self._failure:
            return self._failure
        if self._desk.model_name is None:
            return f"the model is loading, since {time.monotonic() - self._started:.0f} s"
        return ""

    async def run(self) -> None:
        """Loads in a daemon thread, so that Ctrl-C need not wait for it."""
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[LiveModel] = loop.create_future()

        def settle(model: LiveModel | None, problem: BaseException | None) -> None:
            if loaded.done():
                return
            if model is not None:
                loaded.set_result(model)
            else:
                loaded.set_exception(problem or LlamaVidError("the model loader gave nothing"))

        def load() -> None:
            model, problem = None, None
            try:
                model = self._load_model()
            except Exception as caught:  # the edge of the thread: told to the loop, which logs or raises it
                problem = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server was stopped meanwhile
                loop.call_soon_threadsafe(settle, model, problem)

        threading.Thread(target=load, name="model-loader", daemon=True).start()
        try:
            self._desk.use_model(await loaded)
        except LlamaVidError as problem:
            self._fail(problem, str(problem))
        except Exception as problem:
            logger.exception("The model could not be loaded")
            self._fail(problem, "the model could not be loaded; the server's log says why")
        else:
            logger.info("Model %s is ready", self._desk.model_name)

    def _fail(self, problem: Exception, reason: str) -> None:
        self._failure = reason
        logger.error("Not ready: %s", reason)
        if self._on_failure is not None:
            self._on_failure(problem)


def _bundle_loader(config: Config) -> ModelLoader:
    def load() -> LiveModel:
        from llama_vid.model import LLaMAVID  # imports torch: in the loader's thread, after the port is open

        tokens = config.memory.context_tokens
        return LLaMAVID.from_pretrained(
            config.model.name,
            device=config.model.device,
            dtype=config.model.dtype,
            context_tokens=None if tokens == "auto" else tokens,
        )

    return load


def _whip_ingest(name: str, fps: float) -> Ingest:
    from llama_vid.stream.whip import WhipIngest  # imports aiortc and av: only for those who use it

    return WhipIngest(name, fps=fps)


def _error(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    headers = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"error": {"code": code, "message": message, "param": param}}, status, headers)


async def _refuse(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, LlamaVidError)
    param = problem.param if isinstance(problem, ProtocolError) else None
    status = STATUSES.get(problem.code, 400 if isinstance(problem, ProtocolError) else 500)
    return _error(status, problem.code, str(problem), param)


async def _refuse_fields(_: Request, problem: Exception) -> JSONResponse:
    """Names the field and what is wrong with it, without repeating its value (which may be a url with a password)."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return _error(422, "invalid_request", f"{param or 'body'}: {first['msg']}", param)


async def _refuse_http(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    answer = _error(problem.status_code, "http_error", str(problem.detail))
    answer.headers.update(problem.headers or {})
    return answer
