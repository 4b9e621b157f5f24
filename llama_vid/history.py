"""What cameras saw, as the API tells it: from the journal, from the session that watches, or from both as one.

The journal is there as soon as the port is open, for cameras that wait for the model and for cameras that are gone.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from llama_vid.camera_desk import CameraDesk
from llama_vid.caption_desk import TRANSCRIPT
from llama_vid.errors import ProtocolError
from llama_vid.llm.answer import Span
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.exporting import exported
from llama_vid.memory.forgetting import Forgotten
from llama_vid.memory.records import Record, ToldSpan

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal, Journal

logger = logging.getLogger(__name__)

#: How long whoever has something forgotten waits for the disk: a week of pictures takes seconds.
ERASE_S: Final = 60.0
#: Spans of one answer: some hours of a busy street, and half a megabyte of JSON. The newest are told.
MOST_SPANS: Final = 5_000
#: Spans are told to the millisecond, so what is left of one between two others may be mere rounding.
HAIR_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Told:
    """Spans in time order, none overlapping another; `more`: older ones were left out."""

    spans: list[Span]
    more: bool


class History:
    """The past of every camera that is configured or ever was. Reads of the journal run in threads."""

    def __init__(self, desk: CameraDesk, journal: Journal | None) -> None:
        self._desk, self._journal = desk, journal

    async def timeline(self, name: str, start: float | None = None, end: float | None = None) -> Told:
        """The newest MOST_SPANS spans that share time with [start, end].

        Raises ProtocolError (no_such_camera) for a camera that is neither configured nor in the journal.
        """
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        kept = await asyncio.to_thread(self._kept, name, first, last)
        camera = self._desk.find(name) if kept is not None else self._desk.camera(name)
        kept = kept or []
        more = len(kept) > MOST_SPANS
        if more:  # nobody need read what will not be told
            kept = kept[-MOST_SPANS:]
            start = first = kept[0].start
        session = camera.session if camera is not None else None
        spans = joined(kept, await session.timeline(start, end) if session is not None else [])
        spans = [span for span in spans if span.end > first and span.start <= last]
        return Told(spans[-MOST_SPANS:], more or len(spans) > MOST_SPANS)

    async def picture(self, name: str, seconds: float | None = None) -> bytes | None:
        """The kept picture nearest to a time (None: the newest one) as JPEG; None while there is none.

        Raises ProtocolError as `timeline` does.
        """
        camera = self._desk.find(name)
        if camera is not None and camera.session is not None:
            jpeg = await camera.session.snapshot(seconds)
            if jpeg is not None:
                return jpeg
        past = await self.known(name)
        return await asyncio.to_thread(past.jpeg, seconds) if past is not None else None

    async def events(self, name: str, start: float | None, end: float | None, limit: int) -> list[AlertEvent]:
        """The newest `limit` alert events that share time with [start, end], in time order.

        Raises ProtocolError as `timeline` does.
        """
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        journal = self._journal
        found = await asyncio.to_thread(journal.alerts.events, name, first, last, limit) if journal is not None else []
        if not found:
            await self.known(name)
        return found

    async def said(self, name: str, start: float | None, end: float | None) -> list[Record]:
        """What was said between two times, in time order. Raises ProtocolError as `timeline` does."""
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        past = await self.known(name)
        return await asyncio.to_thread(past.records, TRANSCRIPT, first, last) if past is not None else []

    async def forget(self, name: str, start: float, end: float) -> Forgotten:
        """Forget [start, end) of a camera: what its session and the journal hold of it.

        Raises ProtocolError (no_such_camera; not_forgotten while the disk fails: it is done once that is mended).
        """
        past = await self.known(name)
        camera = self._desk.find(name)
        session = camera.session if camera is not None else None
        found = Forgotten()
        self._desk.captions.drop(name)

        async def erase() -> None:
            nonlocal found
            if past is None:
                return
            waiting = past.forget(start, end)
            try:
                found = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(waiting)), ERASE_S)
            except TimeoutError:
                reason = self._journal.state.reason if self._journal is not None else ""
                raise ProtocolError(
                    f"The memory on disk has not forgotten it yet ({reason or 'it is busy'}); it will as soon "
                    "as it can, unless the server is stopped before. Ask again to be sure.",
                    code="not_forgotten",
                ) from None

        if session is not None:
            await session.forget(start, end, erase)
        else:
            if camera is not None:
                camera.to_forget.append((start, end, erase))
            await erase()
        logger.info("Camera %s: %.0f s of memory and %d pictures were forgotten", name, found.seconds, found.pictures)
        return found

    async def export(self, name: str, start: float, end: float) -> Iterator[bytes]:
        """The pieces of a ZIP file with what is kept of [start, end) (`llama_vid.memory.exporting`).

        Raises ProtocolError (no_such_camera; nothing_kept where there is no journal of it).
        """
        past = await self.known(name)
        if past is None or self._journal is None:
            raise ProtocolError(f"Nothing is kept of camera {name!r} on disk yet.", code="nothing_kept", param="camera")
        await asyncio.to_thread(self._journal.flush)
        told = await asyncio.to_thread(past.told, start, end)
        camera = self._desk.find(name)
        session = camera.session if camera is not None else None
        newer = await session.timeline(start, end) if session is not None else []
        older = [Span(span.start, span.end, span.caption, span.motion) for span in told]
        spans = [ToldSpan(span.start, span.end, span.caption, span.motion) for span in joined(older, newer)]
        return exported(past, start, end, spans=spans, transcript=TRANSCRIPT)

    async def known(self, name: str) -> CameraJournal | None:
        """What the journal has of a camera, None for nothing yet.

        Raises ProtocolError (no_such_camera) for one that is neither configured nor in the journal.
        """
        past = await asyncio.to_thread(self._past, name)
        if past is None:
            self._desk.camera(name)
        return past

    def _past(self, name: str) -> CameraJournal | None:
        """What the journal has of a camera, None for nothing. A name that came from outside is only looked up."""
        if self._journal is None or name not in self._journal.cameras():
            return None
        return self._journal.camera(name)

    def _kept(self, name: str, start: float, end: float) -> list[Span] | None:
        """The newest MOST_SPANS spans, and one more if there is one; None for a camera without a past."""
        past = self._past(name)
        if past is None:
            return None
        told = past.told(start, end, limit=MOST_SPANS + 1)
        return [Span(span.start, span.end, span.caption, span.motion) for span in told]


def joined(older: Sequence[Span], newer: Sequence[Span]) -> list[Span]:
    """Both as one timeline in time order: of `older` only what `newer` leaves free, so that no spans overlap."""
    blocks = sorted(newer, key=lambda span: span.start)
    ends = [block.end for block in blocks]
    out, edge = list(blocks), float("-inf")
    for span in sorted(older, key=lambda span: span.start):
        begin, edge = max(span.start, edge), max(span.end, edge)
        at = bisect_right(ends, begin)
        while at < len(blocks) and blocks[at].start < span.end:
            if blocks[at].start - begin > HAIR_S:
                out.append(replace(span, start=begin, end=blocks[at].start))
            begin, at = max(begin, blocks[at].end), at + 1
        if span.end - begin > HAIR_S:
            out.append(replace(span, start=begin))
    return sorted(out, key=lambda span: span.start)
