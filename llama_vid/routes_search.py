"""`/api/cameras/{id}/search`: the moments of a camera's memory that match a text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from llama_vid.clients.live import frame_url
from llama_vid.clients.question import MAX_QUESTION_CHARACTERS, clean_question
from llama_vid.errors import ProtocolError
from llama_vid.parameters import End, Start, check_span
from llama_vid.routes_cameras import desk_of

#: Moments of one answer. The language model reads the best 20; what comes behind them is guesswork.
MOST_MATCHES = 100

router = APIRouter(prefix="/api/cameras/{camera_id}", tags=["cameras"])


class Match(BaseModel):
    """A moment [start, end] in seconds of the one clock, how surely it matches (0…1), and a picture of it; `heard` is
    what was said in it, where it was found by that.
    """

    start: float
    end: float
    score: float
    frame_url: str
    heard: str | None = None


class Matches(BaseModel):
    """Moments, best first."""

    matches: list[Match]


@router.get("/search")
async def search_camera(
    request: Request,
    camera_id: str,
    text: Annotated[str, Query(min_length=1, max_length=MAX_QUESTION_CHARACTERS)],
    start: Start = None,
    end: End = None,
    limit: Annotated[int, Query(ge=1, le=MOST_MATCHES)] = 10,
) -> Matches:
    """The moments in memory that match a text, best first, between `from` and `to` (both may be left out).

    503 while the camera is not being watched yet: memory is searched by the model.
    """
    check_span(start, end)
    try:
        wanted = clean_question(text)
    except ProtocolError as problem:
        raise ProtocolError(f"text: {problem}", param="text") from None
    found = await desk_of(request).askable(camera_id).search(wanted, start, end, limit)
    return Matches(
        matches=[
            Match(
                start=moment.start,
                end=moment.end,
                score=moment.score,
                # A moment lies around its best frame.
                frame_url=frame_url(camera_id, (moment.start + moment.end) / 2),
                heard=moment.heard or None,
            )
            for moment in found
        ]
    )
