"""`/api/cameras/{id}/captions.vtt`, `captions.m3u8` and `chapters`: what was said in front of a camera."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from llama_vid.caption_desk import cues_of
from llama_vid.clients.captions.vtt import MEDIA_TYPE, vtt
from llama_vid.errors import ProtocolError
from llama_vid.parameters import End, Start, check_span
from llama_vid.routes_cameras import desk_of, history_of

router = APIRouter(prefix="/api/cameras/{camera_id}", tags=["captions"])

#: RFC 8216, section 4.
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"


class ChapterInfo(BaseModel):
    """[start, end) in seconds of the one clock, a title of one to four words, and the sentence that tells it best."""

    start: float
    end: float
    title: str
    text: str


class Chapters(BaseModel):
    """Chapters in time order."""

    chapters: list[ChapterInfo]


@router.get("/captions.vtt", response_class=Response, responses={200: {"content": {"text/vtt": {}}}})
async def show_captions(
    request: Request,
    camera_id: str,
    start: Start = None,
    end: End = None,
) -> Response:
    """Committed captions between `from` and `to` (seconds of the one clock; both may be left out).

    Their times count from `from`, or from the first words; the file's note says which second that is.
    """
    check_span(start, end)
    said = await history_of(request).said(camera_id, start, end)
    origin = start if start is not None else said[0].start if said else 0.0
    text = vtt(cues_of(said), origin, note=f"0 is {origin:.3f} s of the camera's clock")
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


@router.get("/chapters")
async def show_chapters(request: Request, camera_id: str, start: Start = None, end: End = None) -> Chapters:
    """What was spoken of, when: the chapters that share time with `from` to `to` (both may be left out).

    A talk is divided as a whole, so that a chapter is the same whichever span is asked for; ten minutes of silence part
    two talks. 503 while the camera is not being watched yet: chapters are made by the model.
    """
    check_span(start, end)
    found = await desk_of(request).askable(camera_id).chapters(start, end)
    return Chapters(
        chapters=[
            ChapterInfo(start=round(each.start, 3), end=round(each.end, 3), title=each.title, text=each.text)
            for each in found
        ]
    )


@router.get("/captions.m3u8", response_class=Response, responses={200: {"content": {PLAYLIST_TYPE: {}}}})
async def show_playlist(request: Request, camera_id: str) -> Response:
    """The last two minutes of captions as an HLS subtitle rendition: a live media playlist of WebVTT segments.

    404 for a camera without captions.
    """
    desk = desk_of(request)
    camera = desk.camera(camera_id)
    if not camera.settings.captions:
        raise ProtocolError(
            f"Camera {camera_id!r} has no captions; set captions: true for it.", code="not_found", param="camera"
        )
    heard_to = camera.session.heard_to if camera.session is not None else None
    text = desk.captions.rendition(camera_id).playlist(heard_to)
    return Response(text, media_type=PLAYLIST_TYPE, headers={"Cache-Control": "no-store"})


@router.get("/captions/{number}.vtt", response_class=Response, responses={200: {"content": {"text/vtt": {}}}})
async def show_segment(request: Request, camera_id: str, number: Annotated[int, Path(ge=0, lt=1 << 40)]) -> Response:
    """One segment of the rendition; 404 for one that its playlist does not list (any more)."""
    desk = desk_of(request)
    desk.camera(camera_id)
    text = desk.captions.rendition(camera_id).segment(number)
    if text is None:
        raise ProtocolError(
            f"Segment {number} is not listed; read captions.m3u8 again.", code="not_found", param="number"
        )
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "max-age=120"})
