"""One film's or camera's memory being written: frames in, token pairs into the bank, small pictures kept beside it."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from llama_vid.bundle import Bundle
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from llama_vid.memory.consolidation import RECENT_SECONDS, policy
from llama_vid.memory.entry import MemoryEntry
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.compressor import STILL
from llama_vid.tokenizer.pair import TokenPair

BATCH: Final = 8  # frames a forward: 100–200 ms on two cores, the longest that a question waits
PICTURE_SIDE: Final = 640  # pixels of the longer side of a kept picture
PICTURE_BYTES: Final = 160 << 20  # about an hour of pictures; older ones are thinned beyond
STILL_SECONDS: Final = 10.0  # a picture at least this often while nothing moves


class Recorder:
    """Memory of one source. Synchronous; every call belongs to the thread that owns the tensors.

    `watch_for` is a standing instruction: the compressor reads every frame with it in mind.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        context_tokens: int | None = None,
        watch_for: str | None = None,
        recent_minutes: float = RECENT_SECONDS / 60,
    ) -> None:
        self.bundle = bundle
        context = min(context_tokens or bundle.language.context, bundle.language.context)
        self.bank = MemoryBank(Budget.for_context(context), policy(recent_minutes))
        self._guide = bundle.guide(watch_for) if watch_for else None
        self._state = bundle.compressor.begin(self._guide)
        self._scene = 0
        self._last: float | None = None
        self._pictures = _Pictures()

    def add(self, frames: Sequence[Frame]) -> None:
        """Watch frames in time order: encode them together, compress them one after another, append them to the
        bank.
        """
        for at in range(0, len(frames), BATCH):
            self._add(frames[at : at + BATCH])

    def _add(self, frames: Sequence[Frame]) -> None:
        with torch.inference_mode():
            encoded = self.bundle.tower.encode([frame.image for frame in frames])
            self._state, pairs = self.bundle.compressor.run(self._state, encoded, gaps=[frame.gap for frame in frames])
        for frame, pair, embedding in zip(frames, pairs, encoded.embedding, strict=True):
            begins = self._last is None or pair.cut or frame.gap
            self._scene += int(begins and self._last is not None)
            step = 1.0 if self._last is None else min(2.0, max(1e-3, frame.seconds - self._last))
            self.bank.append(
                MemoryEntry(
                    start=frame.seconds,
                    end=frame.seconds + step,
                    pair=_owned(pair),
                    embedding=embedding.clone(),
                    energy=pair.energy,
                    scene=self._scene,
                )
            )
            if begins or pair.energy >= STILL or frame.seconds - self._pictures.latest >= STILL_SECONDS:
                self._pictures.add(frame.seconds, frame.image)
            self._last = frame.seconds

    @property
    def start(self) -> float:
        """When memory begins, in seconds; 0 before the first frame."""
        return self.bank.entries[0].start if len(self.bank) else 0.0

    @property
    def end(self) -> float:
        """When memory ends, in seconds."""
        return self.bank.entries[-1].end if len(self.bank) else 0.0

    def jpeg(self, seconds: float | None = None) -> bytes | None:
        """The kept picture nearest to a time (None: the newest) as JPEG; None while there is none."""
        return self._pictures.nearest(seconds)

    def reread(self, seconds: Sequence[float], guide_text: str) -> list[TokenPair]:
        """The frames nearest to `seconds`, read again with a text as the compressor's guide: the evidence block's
        pairs.
        """
        images = []
        for second in seconds:
            data = self.jpeg(second)
            if data is not None:
                images.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        if not images:
            return []
        guide = self.bundle.guide(guide_text) if guide_text else None
        compressor = self.bundle.compressor
        with torch.inference_mode():
            encoded = self.bundle.tower.encode(images)
            gaps = [True] * len(images)  # each frame on its own: what it shows, not what changed
            _, pairs = compressor.run(compressor.begin(guide), encoded, gaps=gaps)
        return pairs

    def see_last(self, image: npt.NDArray[np.uint8], seconds: float) -> None:
        """Keep the newest picture for the live view even if nothing moved in it."""
        self._pictures.show(seconds, image)


def _owned(pair: TokenPair) -> TokenPair:
    # Rows of a batch share its storage; a held context is the anchor itself and is shared on purpose.
    context = pair.context if pair.held else pair.context.clone()
    return TokenPair(context, pair.motion.clone(), pair.energy, pair.held, pair.cut)


class _Pictures:
    """JPEGs by time, bounded in bytes: when full, every second one of the older half goes."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._data: list[bytes] = []
        self._bytes = 0
        self._newest: tuple[float, bytes] | None = None

    @property
    def latest(self) -> float:
        return self._seconds[-1] if self._seconds else float("-inf")

    def add(self, seconds: float, image: npt.NDArray[np.uint8]) -> None:
        data = _encode(image)
        self._seconds.append(seconds)
        self._data.append(data)
        self._bytes += len(data)
        self._newest = (seconds, data)
        if self._bytes > PICTURE_BYTES:
            half = len(self._data) // 2
            keep = [i for i in range(len(self._data)) if i >= half or i % 2 == 0]
            self._seconds, self._data = [self._seconds[i] for i in keep], [self._data[i] for i in keep]
            self._bytes = sum(map(len, self._data))

    def show(self, seconds: float, image: npt.NDArray[np.uint8]) -> None:
        if self._newest is None or self._newest[0] < seconds:
            self._newest = (seconds, _encode(image))

    def nearest(self, seconds: float | None) -> bytes | None:
        if self._newest is None:
            return None
        if seconds is None or seconds >= self._newest[0]:
            return self._newest[1]
        if not self._seconds:
            return self._newest[1]
        at = bisect_left(self._seconds, seconds)
        near = [i for i in (at - 1, at) if 0 <= i < len(self._seconds)]
        return self._data[min(near, key=lambda i: abs(self._seconds[i] - seconds))]


def _encode(image: npt.NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(image)
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return out.getvalue()
