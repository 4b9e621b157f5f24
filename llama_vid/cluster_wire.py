"""What the parts of a cluster say to each other: orders to workers, their news, and memory entries as few, flat arrays.

Everything here is pickled by Ray. Tensors travel stacked, as bytes: one that entries share (a held context, the still
motion token) is there once and is one object again on the other side, which memory and KV cache rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.speech.caption_stream import CaptionStats
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.entry import MemoryEntry
from llama_vid.settings_captions import OFF, CaptionSettings
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.masking import Corners
from llama_vid.stream.source import SourceStats
from llama_vid.tokenizer.pair import TokenPair

#: Tensors of the last message that are known again by their bytes: a held context and the still motion token.
KNOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Order:
    """A camera for a worker: where it is, how it is watched, and where its memory lies, owned under `epoch`.

    `url` None: its frames are pushed, by whoever has the source.
    """

    name: str
    url: str | None
    epoch: int
    folder: str
    fps: float = 1.0
    watch_for: str | None = None
    rules: tuple[Rule, ...] = ()
    paused: bool = False
    captions: CaptionSettings = OFF
    masks: tuple[Corners, ...] = ()
    zone: tzinfo | None = None
    retention_days: float = 7.0
    retention_gb: float = 20.0
    decoder: Decoder = "auto"
    tokens: str | None = None  # what makes the tokens of its memory (`model_loading.token_maker`)


@dataclass(frozen=True, slots=True)
class CameraNews:
    """How one camera fares at its worker: source, counts, seconds in memory."""

    state: str = "connecting"
    reason: str = ""
    stats: SourceStats = field(default_factory=SourceStats)
    start: float = 0.0
    end: float = 0.0
    frames: int = 0
    entries: int = 0
    tokens: int = 0
    room: int = 0
    restored: str = ""
    hearing: CaptionStats | None = None
    heard_to: float | None = None
    ended: bool = False  # every frame of a source that is over is in memory
    fenced: str = ""  # why the worker may not write it any more


@dataclass(frozen=True, slots=True)
class News:
    """What a worker has to tell since it was asked last. `alerts` are (camera, number, change), in order."""

    cameras: dict[str, CameraNews]
    alerts: tuple[tuple[str, int, AlertChange], ...] = ()
    said: tuple[tuple[str, CaptionEvent | Line], ...] = ()
    cpu_s: float = 0.0
    resident_mb: float = 0.0
    sent_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pinned:
    """[start, end) of memory is kept in detail: an alert rests on it."""

    start: float
    end: float


#: What happened to a memory, in order.
Step = MemoryEntry | Pinned


@dataclass(frozen=True, slots=True)
class Vectors:
    """Tensors (D,) of one width and type, as bytes."""

    dtype: str
    width: int
    data: bytes

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Vectors:
        """These, stacked."""
        if not tensors:
            return cls("float32", 0, b"")
        stacked = torch.stack([tensor.detach().cpu() for tensor in tensors]).contiguous()
        raw = stacked.view(torch.uint8).numpy().tobytes()
        return cls(str(stacked.dtype).removeprefix("torch."), int(stacked.shape[1]), raw)

    def rows(self) -> list[bytes]:
        """The bytes of each."""
        size = self.width * getattr(torch, self.dtype).itemsize
        return [self.data[at : at + size] for at in range(0, len(self.data), size)] if size else []

    def tensor(self, row: bytes) -> Tensor:
        """One of `rows` as a tensor with storage of its own."""
        return torch.frombuffer(bytearray(row), dtype=getattr(torch, self.dtype))


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of a memory, packed: entries as (start, end, frames, energy, scene, pinned, pair energy, held, cut,
    context, motion, embedding), the last three as numbers into `tokens`, `tokens`, `embeddings`; pins as (start, end).
    """

    rows: tuple[tuple[float, ...], ...]
    tokens: Vectors
    embeddings: Vectors

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Steps:
        """These, packed."""
        tokens: dict[int, tuple[int, Tensor]] = {}
        embeddings: dict[int, tuple[int, Tensor]] = {}

        def number(known: dict[int, tuple[int, Tensor]], tensor: Tensor) -> int:
            return known.setdefault(id(tensor), (len(known), tensor))[0]

        rows: list[tuple[float, ...]] = []
        for step in steps:
            if isinstance(step, Pinned):
                rows.append((step.start, step.end))
                continue
            pair = step.pair
            rows.append(
                (
                    *(step.start, step.end, step.frames, step.energy, step.scene, step.pinned),
                    *(pair.energy, pair.held, pair.cut),
                    *(number(tokens, pair.context), number(tokens, pair.motion), number(embeddings, step.embedding)),
                )
            )
        vectors = (Vectors.of([tensor for _, tensor in known.values()]) for known in (tokens, embeddings))
        return cls(tuple(rows), *vectors)

    @property
    def nbytes(self) -> int:
        """Bytes on the wire, nearly."""
        return len(self.tokens.data) + len(self.embeddings.data) + 120 * len(self.rows)


class Unpacker:
    """Steps as they were. Tensors with the bytes of one of the last message's are that one."""

    def __init__(self) -> None:
        self._known: dict[bytes, Tensor] = {}

    def unpack(self, steps: Steps) -> list[Step]:
        """The steps, in order."""
        tokens, embeddings = (self._tensors(vectors) for vectors in (steps.tokens, steps.embeddings))
        found: list[Step] = []
        for row in steps.rows:
            if len(row) == 2:
                found.append(Pinned(*row))
                continue
            start, end, frames, energy, scene, pinned, moved, held, cut, context, motion, embedding = row
            pair = TokenPair(tokens[int(context)], tokens[int(motion)], moved, bool(held), bool(cut))
            seen = embeddings[int(embedding)]
            found.append(MemoryEntry(start, end, pair, seen, int(frames), energy, int(scene), bool(pinned)))
        return found

    def _tensors(self, vectors: Vectors) -> list[Tensor]:
        rows = vectors.rows()
        found = []
        for row in rows:
            tensor = self._known.pop(row, None)
            if tensor is None:
                tensor = vectors.tensor(row)
            self._known[row] = tensor
            found.append(tensor)
        while len(self._known) > max(KNOWN, 2 * len(rows)):
            del self._known[next(iter(self._known))]
        return found


Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Features:
    """What the tower saw in B frames: `patches` (B, P, C) and unit-length `embedding` (B, E), both fp16."""

    patches: npt.NDArray[np.float16]
    embedding: npt.NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        """Bytes on the wire."""
        return self.patches.nbytes + self.embedding.nbytes
