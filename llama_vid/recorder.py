"""One film's or camera's memory being written: frames in, token pairs into the bank, pictures and journal beside it."""

from __future__ import annotations

import io
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from llama_vid.bundle import Bundle
from llama_vid.llm.words import duration
from llama_vid.memory.bank import Change, MemoryBank
from llama_vid.memory.consolidation import RECENT_SECONDS, policy
from llama_vid.memory.entry import MemoryEntry
from llama_vid.pictures import Pictures
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.compressor import STILL
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.seen import Seen
from llama_vid.tokenizer.stillness import StillGate
from llama_vid.tokenizer.tower import Encoded

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal

logger = logging.getLogger(__name__)

BATCH: Final = 8  # frames a forward: 100–200 ms on two cores, the longest that a question waits
FEATURES: Final = 32  # frames read again whose features are kept for the next question: 0.4 MB each
ONE_FRAME: Final = 1e-3  # seconds that a frame lasts at least
BACKGROUND: Final = 3600.0  # seconds for which the compressor's slow background may hold what it saw
FORGOTTEN: Final = 16  # forgotten spans whose late frames are still turned away


@dataclass(frozen=True, slots=True)
class Glance:
    """Frames of one source, looked at in small: which of them the tower must encode.

    `pixels` (N, 3, S, S) uint8 are those of the `needed` frames alone, in order; cells of the picture that are
    `ignored` (GRID, GRID) bool change all the time and count as still.
    """

    frames: tuple[Frame, ...]
    needed: tuple[bool, ...]
    ignored: Tensor | None
    pixels: Tensor


class Recorder:
    """Memory of one source. Synchronous; every call belongs to the thread that owns the tensors.

    `watch_for` is a standing instruction: the compressor reads every frame with it in mind. With a `journal`, all that
    is new is written there, and `restore` takes up again what an earlier run remembered. `on_seen` is called for every
    remembered frame, in time order.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        context_tokens: int | None = None,
        watch_for: str | None = None,
        recent_minutes: float = RECENT_SECONDS / 60,
        journal: CameraJournal | None = None,
    ) -> None:
        self.bundle = bundle
        self.journal = journal
        self.bank = MemoryBank(bundle.budget(context_tokens), policy(recent_minutes))
        self.watch_for = watch_for
        self._guide = bundle.guide(watch_for) if watch_for else None
        self._state = bundle.compressor.begin(self._guide)
        self._gate = StillGate()
        self._scene = 0
        self._last: float | None = None
        self._shift = 0.0  # seconds by which a clock that was set back is moved forward
        self._embedding: Tensor | None = None
        self._pair: TokenPair | None = None  # of the frame that was compressed last
        self._pictures = Pictures(journal)
        self._features: OrderedDict[float, Encoded] = OrderedDict()
        self._forgotten: list[tuple[float, float]] = []
        self.restored = ""
        self.on_seen: Callable[[Seen], None] | None = None

    def restore(self) -> None:
        """Take up again what the journal remembers of an earlier run; before the first frame."""
        began = time.perf_counter()
        entries: list[MemoryEntry] = []
        if self.journal is not None:
            self.journal.flush()  # a camera that was closed a moment ago
            entries = self.journal.restore()
        if entries:
            self.bank.restore(replace(entry, embedding=entry.embedding.half()) for entry in entries)
            self._scene = entries[-1].scene
            watched = duration(entries[-1].end - entries[0].start)
            count = "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"
            self.restored = f"{count} ({watched}) in {time.perf_counter() - began:.1f} s"

    def add(self, frames: Sequence[Frame]) -> None:
        """Watch frames in time order: encode those that changed together, compress them one after another, append
        them to the bank.
        """
        for at in range(0, len(frames), BATCH):
            glance = self.look(frames[at : at + BATCH])
            self.take(glance, self.bundle.tower.encode_pixels(glance.pixels) if len(glance.pixels) else None)

    def look(self, frames: Sequence[Frame]) -> Glance:
        """Look at the next frames in small and say which must be encoded; `take` must follow before the next look.

        Frames of a time that was forgotten, which waited meanwhile, are left out.
        """
        frames = [frame for frame in frames if not self.has_forgotten(frame.seconds + self._shift)]
        if not frames:
            return Glance((), (), None, torch.empty(0, dtype=torch.uint8))
        pixels = self.bundle.tower.pixels([frame.image for frame in frames])
        luma = self.bundle.tower.luma(pixels)
        ignored = self._gate.ignored
        needed = tuple(self._gate.needed(small, gap=frame.gap) for small, frame in zip(luma, frames, strict=True))
        return Glance(tuple(frames), needed, ignored, pixels[torch.tensor(needed)])

    def take(self, glance: Glance, encoded: Encoded | None) -> None:
        """Remember the frames of a glance; `encoded` are its needed ones (None where none is)."""
        try:
            with torch.inference_mode():
                pairs, embeddings = self._compressed(glance, encoded)
        except BaseException:
            self._gate = StillGate()  # it takes these frames for encoded, and they are not
            raise
        row = 0
        for frame, needed, pair, embedding in zip(glance.frames, glance.needed, pairs, embeddings, strict=True):
            self._remember(frame, pair, embedding)
            if self.on_seen is not None and (entry := self.bank.last) is not None:
                patches = encoded.patches[row] if needed and encoded is not None else None
                self.on_seen(Seen(frame.seconds + self._shift, entry.end, embedding, patches, pair, frame.gap))
            row += needed

    def _compressed(self, glance: Glance, encoded: Encoded | None) -> tuple[list[TokenPair], list[Tensor]]:
        """The pair and the embedding of every frame of a glance; frames not encoded repeat the last one's."""
        compressor = self.bundle.compressor
        last = self._pair
        fresh: Iterator[tuple[TokenPair, Tensor]] = iter(())
        if encoded is not None:
            gaps = [frame.gap for frame, needed in zip(glance.frames, glance.needed, strict=True) if needed]
            self._state, found = compressor.run(self._state, encoded, gaps=gaps, ignored=glance.ignored)
            fresh = zip(found, encoded.embedding, strict=True)
        pairs: list[TokenPair] = []
        embeddings: list[Tensor] = []
        for needed in glance.needed:
            if needed:
                pair, embedding = next(fresh)
                last, self._embedding = pair, embedding.to(torch.float16, copy=True)
                pairs.append(pair)
            else:
                assert last is not None  # the gate lets no first frame pass
                pairs.append(compressor.repeating(last))
            assert self._embedding is not None
            embeddings.append(self._embedding)
        self._pair = last
        return pairs, embeddings

    def _remember(self, frame: Frame, pair: TokenPair, embedding: Tensor) -> None:
        seconds = self._placed(frame.seconds)
        begins = self._last is None or pair.cut or frame.gap
        self._scene += int(begins and len(self.bank) > 0)
        step = 1.0 if self._last is None else min(2.0, max(ONE_FRAME, seconds - self._last))
        self.append(
            MemoryEntry(
                start=seconds,
                end=seconds + step,
                pair=pair,
                embedding=embedding,
                energy=pair.energy,
                scene=self._scene,
            )
        )
        self._pictures.see(seconds, frame.image, moving=begins or pair.energy >= STILL)
        self._last = seconds

    def append(self, entry: MemoryEntry) -> None:
        """Remember what was seen last, in the bank and in the journal."""
        change = self.bank.append(entry)
        if self.journal is not None:
            _write(self.journal, change)

    def _placed(self, seconds: float) -> float:
        """A frame's time, moved forward where the clock was set back since the last run: time never repeats."""
        last = self.bank.last
        if last is not None and self._last is None and seconds <= last.start:
            self._shift = max(last.end, last.start + ONE_FRAME) - seconds
            logger.warning(
                "The clock is %s behind what memory holds already; times go on from there. Check the machine's clock.",
                duration(self._shift),
            )
        return seconds + self._shift

    @property
    def start(self) -> float:
        """When memory begins, in seconds; 0 before the first frame."""
        return self.bank.entries[0].start if len(self.bank) else 0.0

    @property
    def end(self) -> float:
        """When memory ends, in seconds."""
        return self.bank.last.end if self.bank.last is not None else 0.0

    def pin(self, start: float, end: float) -> None:
        """Have memory keep what it saw in [start, end) in detail for as long as it can: an alert rests on it."""
        for entry in self.bank.pin(start, end):
            if self.journal is not None:
                self.journal.extend(entry)

    def forget(self, start: float, end: float) -> None:
        """Let go of all that memory holds of [start, end), and of entries that reach into it: `recall` brings back what
        the journal has of their other times, once it has forgotten, too.
        """
        self._forgotten = [*self._forgotten[1 - FORGOTTEN :], (start, min(end, max(time.time(), self.end)))]
        near = end > self.end - BACKGROUND
        self.bank.forget(start, end)
        self._pictures.forget(start, end)
        self._features.clear()
        if near:  # what is seen next is seen as if for the first time
            self._state, self._gate = self.bundle.compressor.begin(self._guide), StillGate()
            self._embedding = self._pair = None
        self._scene += 1

    def recall(self) -> None:
        """Hold what the journal has of the bank; nothing changes without one, or while it cannot be written."""
        if self.journal is None or not self.journal.flush():
            return
        entries = self.journal.restore()
        self.bank.replace(replace(entry, embedding=entry.embedding.half()) for entry in entries)
        self._scene = max(self._scene, entries[-1].scene if entries else 0)

    def has_forgotten(self, start: float, end: float | None = None) -> bool:
        """Whether an instant, or [start, end), touches a time that was forgotten: late news of it is turned away."""
        last = start if end is None else end
        return any(start < until and (last > since or start >= since) for since, until in self._forgotten)

    def jpeg(self, seconds: float | None = None) -> bytes | None:
        """The kept picture nearest to a time (None: the newest) as JPEG; None while there is none."""
        return self._pictures.nearest(seconds)

    def kept(self, seconds: float) -> tuple[float, bytes] | None:
        """The kept picture nearest to a time: its own time, and the JPEG. From any thread."""
        return self._pictures.kept(seconds)

    def reread(self, seconds: Sequence[float], guide_text: str) -> list[TokenPair]:
        """The frames nearest to `seconds`, read again with a text as the compressor's guide: the evidence block's
        pairs.
        """
        frames = self._seen_again(seconds)
        if not frames:
            return []
        guide = self.bundle.guide(guide_text) if guide_text else None
        compressor = self.bundle.compressor
        with torch.inference_mode():
            return compressor.alone(Encoded.joined(frames), guide)

    def patches(self, seconds: Sequence[float]) -> Tensor | None:
        """Patch features (n, P, C) of the kept pictures nearest to these times; None where there is none."""
        frames = self._seen_again(seconds)
        return torch.cat([frame.patches for frame in frames]) if frames else None

    def _seen_again(self, seconds: Sequence[float]) -> list[Encoded]:
        """The features of the kept pictures nearest to these times; those of the last questions' are remembered."""
        new = {second: data for second in seconds if second not in self._features and (data := self.jpeg(second))}
        if new:
            images = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in new.values()]
            with torch.inference_mode():
                found = self.bundle.tower.encode(images)
            for row, second in enumerate(new):
                self._features[second] = found.rows(slice(row, row + 1)).own()
        frames = [self._features[second] for second in seconds if second in self._features]
        for second in seconds:
            if second in self._features:
                self._features.move_to_end(second)
        while len(self._features) > FEATURES:
            self._features.popitem(last=False)
        return frames

    def see_last(self, image: npt.NDArray[np.uint8], seconds: float) -> None:
        """Keep the newest picture for the live view even if nothing moved in it."""
        self._pictures.show(seconds, image)


def _write(journal: CameraJournal, change: Change) -> None:
    """Tell the journal what an append did to the bank."""
    if change.trimmed is not None:
        journal.extend(change.trimmed)
    if change.gone:
        journal.consolidate(change.gone, change.come)
    if change.extended:
        journal.extend(change.entry)
    else:
        journal.append(change.entry)
