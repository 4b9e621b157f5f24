"""The web page and its files, and how the server is: alive, ready, and in figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from llama_vid.access import access_of
from llama_vid.errors import ProtocolError
from llama_vid.metrics import Metrics

if TYPE_CHECKING:
    from llama_vid.memory.records import JournalState

PAGE = Path(__file__).resolve().parent / "clients" / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

router = APIRouter(tags=["server"])


class MemoryHealth(BaseModel):
    """Whether what is seen is kept on disk, and if not, why. Cameras and questions go on without."""

    state: Literal["ok", "failing"]
    reason: str = ""


class Health(BaseModel):
    """Whether the server is ready to answer, and if not, why. `memory` is null where nothing is to be kept."""

    ready: bool
    reason: str = ""
    model: str | None = None
    cameras: int = 0
    memory: MemoryHealth | None = None


def health(request: Request) -> Health:
    """The present state of the server behind a request."""
    desk = request.app.state.desk
    reason = request.app.state.not_ready()
    journal = request.app.state.journal
    return Health(
        ready=not reason,
        reason=reason,
        model=desk.model_name,
        cameras=len(desk.names()),
        memory=_kept(journal.state) if journal is not None else None,
    )


def _kept(state: JournalState) -> MemoryHealth:
    return MemoryHealth(state="ok" if state.ok else "failing", reason=state.reason)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
async def readyz(request: Request) -> Response:
    """200 when questions are answered, 503 with the reason until then. A camera or a disk that fails does not count."""
    state = health(request)
    if not access_of(request).signed_in:  # reasons have paths in them, and models names
        state = Health(ready=state.ready, reason="" if state.ready else "sign in to see why")
    if state.ready:
        return JSONResponse(state.model_dump())
    return JSONResponse(state.model_dump(), 503, {"Retry-After": "5"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    counts: Metrics = request.app.state.metrics
    text, content_type = counts.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The web page."""
    return _file("index.html")


@router.get("/page/{name}", include_in_schema=False)
async def page_file(name: str) -> Response:
    """A file of the web page."""
    return _file(name)


def _file(name: str) -> Response:
    path = PAGE / name
    if path.parent != PAGE or path.suffix not in MEDIA_TYPES or not path.is_file():
        raise ProtocolError("There is no such file.", code="not_found")
    # Files of a new version must never meet those of an old one.
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
