"""`/api/cameras…`: what the cameras are, what happened in front of them, and their pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llama_vid.access import access_of
from llama_vid.camera_desk import Camera, CameraDesk
from llama_vid.clients.question import strip_template_tokens
from llama_vid.errors import ProtocolError
from llama_vid.history import History
from llama_vid.llm.answer import MemoryUse
from llama_vid.parameters import End, Start, check_span
from llama_vid.settings import CAMERA_ID, NETWORK_SCHEMES, CameraSettings, check_camera_url
from llama_vid.settings_privacy import PrivacyMasks
from llama_vid.stream.urls import redact

if TYPE_CHECKING:
    from llama_vid.llm.speech.caption_stream import CaptionStats

#: Cameras that may be added over the network, in all: two CPU cores follow a handful, a GPU some dozens.
MAX_CAMERAS = 64

router = APIRouter(prefix="/api/cameras", tags=["cameras"])


class TokenCounts(BaseModel):
    """Frames watched, video tokens that stand for them, tokens a frame."""

    frames: int
    video: int
    per_frame: int


class MemoryCounts(BaseModel):
    """Entries of the memory bank, the tokens that they take, bytes of the KV cache, what came from the journal.

    `room` is how many tokens they may take; then older ones are consolidated. 0: not known yet.
    """

    entries: int = 0
    tokens: int = 0
    cached_bytes: int = 0
    restored: str = ""
    room: int = 0


class CaptionCounts(BaseModel):
    """How captions fare. `lag_s` is sound that came and is not recognised yet, `delay_s` how late the 95th of the last
    100 words was committed, `effort` what is given up to keep up ("full": nothing).
    """

    state: str
    reason: str
    words: int
    lag_s: float
    delay_s: float | None
    effort: str


class CameraInfo(BaseModel):
    """A camera. `url` is without user and password; `masked`: it has privacy masks; `watched_s` are seconds of video
    in memory. `open`: it is being watched, and a webrtc: one takes publishers.
    """

    id: str
    url: str
    state: str
    reason: str
    open: bool
    publishable: bool
    publishing: bool
    fps: float
    watch_for: str | None
    masked: bool
    watched_s: float
    frames: int
    dropped: int
    reconnects: int
    warnings: list[str]
    tokens: TokenCounts
    memory: MemoryCounts
    captions: CaptionCounts | None = Field(description="Null where there are none.")


class CameraList(BaseModel):
    """All cameras, by name."""

    cameras: list[CameraInfo]


class NewCamera(BaseModel):
    """A camera to add: rtsp(s):, http(s): or webrtc: (which then waits for a publisher at /whip/{id})."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=f"^{CAMERA_ID.pattern}$")
    url: str = Field(min_length=1, max_length=2048)
    fps: float = Field(default=1.0, gt=0, le=30)
    watch_for: str | None = Field(default=None, max_length=500)
    privacy_masks: PrivacyMasks = Field(default_factory=list)


class TimelineSpan(BaseModel):
    """[start, end] in seconds of the one clock, what was seen, and its mean motion energy in 0…1."""

    start: float
    end: float
    caption: str
    motion: float


class Timeline(BaseModel):
    """Spans in time order."""

    spans: list[TimelineSpan]


def desk_of(request: Request) -> CameraDesk:
    """The server's cameras."""
    desk: CameraDesk = request.app.state.desk
    return desk


def history_of(request: Request) -> History:
    """What the server's cameras saw."""
    history: History = request.app.state.history
    return history


def describe(camera: Camera) -> CameraInfo:
    """A camera as the API shows it."""
    session = camera.session
    stats = session.stats if session is not None else None
    tokens = session.tokens if session is not None else None
    return CameraInfo(
        id=camera.name,
        url=redact(camera.settings.url.get_secret_value()),
        state=camera.state,
        reason=camera.reason,
        open=session is not None,
        publishable=camera.settings.publishable,
        publishing=camera.ingest is not None and camera.ingest.resource_id is not None,
        fps=camera.settings.fps,
        watch_for=camera.settings.watch_for,
        masked=camera.settings.masked,
        watched_s=round(session.watched_s, 3) if session is not None else 0.0,
        frames=stats.frames if stats is not None else 0,
        dropped=stats.dropped if stats is not None else 0,
        reconnects=stats.reconnects if stats is not None else 0,
        warnings=list(stats.warnings) if stats is not None else [],
        tokens=TokenCounts(frames=tokens.frames, video=tokens.video, per_frame=tokens.per_frame)
        if tokens is not None
        else TokenCounts(frames=0, video=0, per_frame=2),
        memory=_counts(session.memory) if session is not None else MemoryCounts(),
        captions=_fare(session.hearing) if session is not None else None,
    )


def _fare(stats: CaptionStats | None) -> CaptionCounts | None:
    if stats is None:
        return None
    return CaptionCounts(
        state=stats.state,
        reason=stats.reason,
        words=stats.words,
        lag_s=round(stats.lag_s, 3),
        delay_s=None if stats.delay_s is None else round(stats.delay_s, 3),
        effort=stats.effort,
    )


def _counts(use: MemoryUse) -> MemoryCounts:
    return MemoryCounts(
        entries=use.entries,
        tokens=use.tokens,
        cached_bytes=use.cached_bytes,
        restored=use.restored,
        room=use.room,
    )


@router.get("")
async def list_cameras(request: Request) -> CameraList:
    """All cameras with their states and counts."""
    desk = desk_of(request)
    sees = access_of(request).sees
    return CameraList(cameras=[describe(desk.camera(name)) for name in desk.names() if sees(name)])


@router.post("", status_code=201)
async def add_camera(request: Request, response: Response, new: NewCamera) -> CameraInfo:
    """Adds a camera until the server stops. It is not written to the configuration file."""
    desk = desk_of(request)
    access_of(request).require("admin", new.id)
    try:
        url = check_camera_url(new.url, NETWORK_SCHEMES)
    except ValueError as problem:
        raise ProtocolError(f"url: {problem}", param="url") from None
    if len(desk.names()) >= MAX_CAMERAS:
        raise ProtocolError(f"There are {MAX_CAMERAS} cameras already; delete one first.", code="too_many_cameras")
    watch_for = strip_template_tokens(new.watch_for) or None if new.watch_for else None
    masks = new.privacy_masks
    settings = CameraSettings(url=SecretStr(url), fps=new.fps, watch_for=watch_for, privacy_masks=masks)
    camera = desk.add(new.id, settings)
    response.headers["Location"] = f"/api/cameras/{new.id}"
    return describe(camera)


@router.get("/{camera_id}")
async def show_camera(request: Request, camera_id: str) -> CameraInfo:
    """One camera."""
    return describe(desk_of(request).camera(camera_id))


@router.delete("/{camera_id}", status_code=204)
async def delete_camera(request: Request, camera_id: str) -> None:
    """Stops a camera; its history stays. One of the configuration file is back when the server is started again."""
    await desk_of(request).remove(camera_id)


@router.get("/{camera_id}/timeline")
async def show_timeline(
    request: Request,
    response: Response,
    camera_id: str,
    start: Start = None,
    end: End = None,
) -> Timeline:
    """What happened when, between `from` and `to` (seconds of the one clock; both may be left out).

    The newest 5,000 spans; when there are older ones, the header `Link: <…>; rel="prev"` has the address to go on with.
    """
    check_span(start, end)
    told = await history_of(request).timeline(camera_id, start, end)
    if told.more:
        before = {"to": f"{told.spans[0].start - 0.001:.3f}", **({} if start is None else {"from": f"{start:.3f}"})}
        response.headers["Link"] = f'<{request.url.path}?{urlencode(before)}>; rel="prev"'
    return Timeline(
        spans=[TimelineSpan(start=s.start, end=s.end, caption=s.caption, motion=round(s.motion, 4)) for s in told.spans]
    )


@router.get("/{camera_id}/snapshot.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def live_picture(request: Request, camera_id: str) -> Response:
    """The newest picture of a camera."""
    return await _picture(history_of(request), camera_id, None)


@router.get("/{camera_id}/frames/{name}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def kept_picture(request: Request, camera_id: str, name: str) -> Response:
    """The kept picture nearest to a time: `frames/{seconds}.jpg`; `frames/latest.jpg` is the newest one."""
    if name == "latest.jpg":
        return await _picture(history_of(request), camera_id, None)
    try:
        seconds = float(name.removesuffix(".jpg")) if name.endswith(".jpg") else math.nan
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ProtocolError("A picture's address ends in frames/{seconds}.jpg.", code="no_such_frame", param="seconds")
    return await _picture(history_of(request), camera_id, seconds)


async def _picture(history: History, camera_id: str, seconds: float | None) -> Response:
    jpeg = await history.picture(camera_id, seconds)
    if jpeg is None:
        when = "yet" if seconds is None else f"at {seconds:g} s"
        raise ProtocolError(f"Camera {camera_id!r} has no picture {when}.", code="no_such_frame", param="seconds")
    # A picture of the past does not change; the newest one is asked for again.
    cache = "no-store" if seconds is None else "private, max-age=3600"
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": cache})
