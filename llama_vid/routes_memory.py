"""`/api/cameras/{id}/memory` and `…/export`: a span of a camera's past forgotten, or taken along."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from llama_vid.access_desk import AccessDesk
from llama_vid.errors import ProtocolError
from llama_vid.parameters import FARTHEST_S
from llama_vid.routes_cameras import history_of

router = APIRouter(prefix="/api/cameras", tags=["memory"])

Start = Annotated[
    float,
    Query(alias="from", ge=-FARTHEST_S, le=FARTHEST_S, allow_inf_nan=False, description="Seconds of the one clock."),
]
End = Annotated[
    float,
    Query(
        alias="to",
        ge=-FARTHEST_S,
        le=FARTHEST_S,
        allow_inf_nan=False,
        description="Seconds of the one clock; not included.",
    ),
]


class ForgottenSpan(BaseModel):
    """What was forgotten: seconds of memory, and how much of each kind. `scrubbed`: the database's files hold nothing
    of it any more, not even where rows were deleted.
    """

    forgotten_s: float
    pictures: int
    entries: int
    scenes: int
    records: int
    alerts: int
    scrubbed: bool


@router.delete("/{camera_id}/memory")
async def forget(request: Request, camera_id: str, start: Start, end: End) -> ForgottenSpan:
    """Forgets what a camera saw and heard between `from` and `to`, both needed, for good: memory, timeline, transcript,
    alerts and pictures. An answer that is under way fails. `from=0` means from the beginning.
    """
    _check(start, end)
    found = await history_of(request).forget(camera_id, start, end)
    return ForgottenSpan(
        forgotten_s=round(found.seconds, 3),
        pictures=found.pictures,
        entries=found.entries,
        scenes=found.scenes,
        records=found.records,
        alerts=found.alerts,
        scrubbed=found.scrubbed,
    )


@router.get(
    "/{camera_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export(request: Request, camera_id: str, start: Start, end: End) -> StreamingResponse:
    """A ZIP file with what is kept of a camera between `from` and `to`: pictures, timeline, events and transcript."""
    _check(start, end)
    pieces = await history_of(request).export(camera_id, start, end)
    name = f"{camera_id}-{_stamp(start)}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return _Download(pieces, media_type="application/zip", headers=headers)


class _Download(StreamingResponse):
    """A file that is sent while whoever fetches it may: then the line is cut, so that it is seen to be short."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        desk: AccessDesk = scope["app"].state.access
        cut: Callable[[], None] = scope["state"].get("cut", lambda: None)

        async def close() -> None:
            cut()

        with desk.sending(scope["state"]["access"], close):
            await super().__call__(scope, receive, send)


def _check(start: float, end: float) -> None:
    if end <= start:
        raise ProtocolError("to must lie after from; swap them.", param="to")


def _stamp(start: float) -> str:
    try:
        return f"{datetime.fromtimestamp(start, UTC):%Y%m%dT%H%M%SZ}"
    except (ValueError, OverflowError, OSError):  # a time beyond the calendar
        return "beginning"
