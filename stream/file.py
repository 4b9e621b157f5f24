"""A recording as a source: pulled at the reader's pace, nothing dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike, fspath
from types import TracebackType
from typing import Final, Self

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.ahead import ahead
from llama_vid.stream.demux import open_container, video_stream
from llama_vid.stream.frame import Frame
from llama_vid.stream.picture import LONGEST_SIDE
from llama_vid.stream.recording import Recording, seconds_long
from llama_vid.stream.source import SourceStats
from llama_vid.stream.status import Status, Told
from llama_vid.stream.urls import parse_url

#: Frames decoded before they are asked for: two of the model's batches, 44 MB at 1280x720.
AHEAD: Final = 16


class FileSource(Told):
    """A video file (or one behind http(s):), sampled at `fps` by media time; frame k stands for second k / fps.

    Iterate it (`for frame in source`), each time from the start; or use it as an async `Source`, decoding in a thread.
    Both raise SourceError where the file is missing or is no video; damage is passed over and told in `warnings`.
    """

    def __init__(self, url: str | PathLike[str], *, fps: float = 1.0, longest_side: int = LONGEST_SIDE) -> None:
        """Pictures larger than `longest_side` pixels are scaled down. Nothing is opened yet."""
        if not 0 < fps <= 240:
            raise SourceError(f"Cannot sample {fps} frames a second: give a rate above 0 and up to 240.")
        self._url = parse_url(fspath(url))
        if self._url.kind not in ("file", "http"):
            raise SourceError(f"{self._url.shown} is a live source, not a file: open it as a camera.")
        self._fps = fps
        self._longest_side = longest_side
        self._duration: float | None = None
        self._probed = False
        self._status = Status(self._url.shown)
        self._frames = 0
        self._warnings: list[str] = []
        self._worker: ThreadPoolExecutor | None = None
        self._pulled: Iterator[Frame] | None = None
        self._pending: Future[Frame | None] | None = None

    @property
    def duration(self) -> float | None:
        """The video's length in seconds as the file states it, or None; opens the file when that was not done yet."""
        if not self._probed:
            with open_container(self._url) as container:
                self._duration = seconds_long(container, video_stream(container, self._url))
            self._probed = True
        return self._duration

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the file and could be passed over; complete when the last frame is read."""
        return list(self._warnings)

    @property
    def stats(self) -> SourceStats:
        return SourceStats(frames=self._frames, warnings=self.warnings)

    def __iter__(self) -> Iterator[Frame]:
        """Every sampled frame from the start, decoded ahead in a thread of its own. Raises SourceError when the file
        cannot be read.
        """
        return ahead(self._decoded, room=AHEAD, name="film-decoder")

    def _decoded(self) -> Iterator[Frame]:
        self._warnings.clear()
        with open_container(self._url) as container:
            stream = video_stream(container, self._url)
            self._duration, self._probed = seconds_long(container, stream), True
            yield from Recording(
                container, stream, self._url, fps=self._fps, longest_side=self._longest_side, warnings=self._warnings
            )

    async def __aenter__(self) -> Self:
        # One thread: PyAV's containers must not be used from two at once.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="file-source")
        self._pulled = self._decoded()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            pulled, self._pulled, self._pending = self._pulled, None, None
            closing = getattr(pulled, "close", None)
            if closing is not None:
                await asyncio.wrap_future(worker.submit(closing))
            worker.shutdown(wait=False)
        if self._status.state not in ("failed", "ended"):
            self._status.set("ended", "closed")

    async def recv(self) -> Frame:
        """The next frame. Raises EndOfStream after the last one and SourceError when the file cannot be read."""
        if self._worker is None:
            raise SourceError(f"{self._url.shown} is not open: use it as `async with`.")
        if self._status.state in ("ended", "failed"):
            raise EndOfStream(f"{self._url.shown} is over.")
        if self._pending is None:
            self._pending = self._worker.submit(self._pull)
        try:
            # Shielded: a cancelled `recv` leaves the frame to the next one.
            frame = await asyncio.shield(asyncio.wrap_future(self._pending))
        except SourceError as error:
            self._pending = None
            self._status.set("failed", str(error))
            raise
        self._pending = None
        if frame is None:
            self._status.set("ended", "the file is over")
            raise EndOfStream(f"{self._url.shown} is over.")
        self._frames += 1
        self._status.set("live")
        return frame

    def _pull(self) -> Frame | None:
        return next(self._pulled, None) if self._pulled is not None else None
