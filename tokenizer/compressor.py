"""The incremental compressor: one frame's features and the state so far to two tokens.

The **context token** is read from the frame itself and *held*: while a scene stands still its first token (the anchor)
is repeated, bit for bit; it is refreshed when the scene drifts from the anchor, and replaced when a new scene cuts in.
The **motion token** is read from the change against the previous frame and against a slowly moving background; a frame
in which nothing moved has one fixed learned token, and the share of what was read grows with the motion energy.
Idea: Li et al. 2024, LLaMA-VID, https://arxiv.org/abs/2311.17043 (two tokens a frame); the streaming state is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.errors import BundleError
from llama_vid.tokenizer.change import change_energy
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.reader import TokenReader
from llama_vid.tokenizer.tower import Encoded

HOLD_COSINE: Final = 0.98  # a fresh context token at least this close to the anchor is the anchor
STILL: Final = 0.12  # motion energy below which a frame counts as still
DRIFT: Final = 0.35  # change against the anchor's picture up to which a still frame keeps the anchor
CUT_ENERGY, CUT_DISTANCE = 0.75, 0.6  # a cut changes most cells and most features
BACKGROUND_RATE: Final = 0.1  # the background follows a frame by this share
DARK: Final = 4.0  # grey levels of spread under which a first frame shows nothing and is replaced


@dataclass(frozen=True, slots=True)
class CompressorConfig:
    """Shapes of the tower and the language model, and the size of the readers."""

    patches: int = 81
    channels: int = 1280
    guide: int = 512
    width: int = 384
    queries: int = 16
    layers: int = 2
    heads: int = 6
    out: int = 576


@dataclass(frozen=True, slots=True)
class State:
    """What the compressor carries from frame to frame. Tensors are None before the first frame.

    `previous` and `background` (P, C) are normalised features, `luma` and `anchor_luma` (52, 52) grey levels, `anchor`
    (D,) the scene's context token, `guide` (1, G) the standing guide. `blank` says that the first frame showed nothing.
    """

    guide: Tensor | None = None
    previous: Tensor | None = None
    background: Tensor | None = None
    luma: Tensor | None = None
    anchor: Tensor | None = None
    anchor_luma: Tensor | None = None
    blank: bool = False


class Compressor(nn.Module):
    """Two readers and the rules of holding. `begin` a stream, then `step` frame by frame, or `run` many frames at
    once.
    """

    def __init__(self, config: CompressorConfig) -> None:
        super().__init__()
        self.config = config
        sizes = {
            "queries": config.queries,
            "width": config.width,
            "layers": config.layers,
            "heads": config.heads,
            "guide": config.guide,
            "out": config.out,
        }
        self.context = TokenReader(1, config.patches, config.channels, **sizes)
        self.motion = TokenReader(2, config.patches, config.channels, **{**sizes, "queries": config.queries // 2})
        self.still = nn.Parameter(torch.randn(config.out) * 0.1)
        self._still_token: Tensor | None = None

    def begin(self, guide: Tensor | None = None) -> State:
        """The state before the first frame; `guide` (G,) is a unit-length text embedding that says what to look for."""
        return State(guide=None if guide is None else guide.reshape(1, -1))

    def step(self, state: State, frame: Encoded, *, gap: bool = False) -> tuple[State, TokenPair]:
        """The pair of one frame (`frame` holds one row); `gap` says that time is missing before it."""
        state, pairs = self.run(state, frame, gaps=[gap])
        return state, pairs[0]

    def run(
        self, state: State, frames: Encoded, *, gaps: list[bool] | None = None, ignored: Tensor | None = None
    ) -> tuple[State, list[TokenPair]]:
        """The pairs of T consecutive frames: what T steps give, with the readers run once.

        `ignored` (GRID, GRID) bool are cells whose change is no motion. Raises BundleError if the features do not fit
        the compressor.
        """
        count, patches, channels = frames.patches.shape
        if (patches, channels) != (self.config.patches, self.config.channels):
            raise BundleError(
                f"the compressor was trained for {self.config.patches}×{self.config.channels} features, the tower "
                f"gives {patches}×{channels}; train one for this tower: llama-vid train align"
            )
        x = normalised(frames.patches)
        guide = None if state.guide is None else state.guide.expand(count, -1)
        fresh = self.read_context(x, guide)
        rows: list[tuple[State, float, bool]] = []
        against_previous, against_background = torch.empty_like(x), torch.empty_like(x)
        pairs: list[tuple[Tensor, float, bool, bool]] = []
        for t in range(count):
            if gaps is not None and gaps[t]:
                state = State(guide=state.guide)
            energy, cut = self._changed(state, x[t], frames.luma[t], ignored)
            first = state.previous is None or cut or state.blank
            previous = torch.zeros_like(x[t]) if first or state.previous is None else state.previous
            background = torch.zeros_like(x[t]) if first or state.background is None else state.background
            against_previous[t], against_background[t] = x[t] - previous, x[t] - background
            held, anchor, anchor_luma = self._held(state, fresh[t], frames.luma[t], energy, first, ignored)
            state = replace(
                state,
                previous=x[t],
                luma=frames.luma[t],
                anchor=anchor,
                anchor_luma=anchor_luma,
                background=x[t] if first else torch.lerp(background, x[t], BACKGROUND_RATE),
                blank=first and float(frames.luma[t].std()) < DARK,
            )
            rows.append((state, 1.0 if first else energy, first))
            pairs.append((anchor, energy, held, cut))
        # What is carried on must not keep the whole batch alive.
        state = replace(state, previous=_own(state.previous), luma=_own(state.luma), background=_own(state.background))
        share = torch.tensor([gate for _, gate, _ in rows], device=x.device, dtype=fresh.dtype)
        motion = self.read_motion(against_previous, against_background, share, guide)
        still = share_of(share) == 0  # one and the same token, so that whoever keeps pairs can tell by identity
        return state, [
            TokenPair(context, self.still_token if still[t] else motion[t].clone(), energy, held, cut)
            for t, (context, energy, held, cut) in enumerate(pairs)
        ]

    @property
    def still_token(self) -> Tensor:
        """The motion token (D,) of a frame in which nothing moved: always the same tensor object."""
        if self._still_token is None or self._still_token.data_ptr() != self.still.data_ptr():
            self._still_token = self.still.detach()
        return self._still_token

    def repeated(self, context: Tensor) -> TokenPair:
        """The pair of a frame that shows just what the frame before showed, whose context token (D,) it holds."""
        return TokenPair(context, self.still_token, 0.0, held=True, cut=False)

    def repeating(self, pair: TokenPair) -> TokenPair:
        """The pair of a frame that shows just what the one before it showed, whose pair is given."""
        return self.repeated(pair.context)

    def alone(self, frames: Encoded, guide: Tensor | None = None) -> list[TokenPair]:
        """The pairs of frames each by itself: what it shows, not what changed."""
        _, pairs = self.run(self.begin(guide), frames, gaps=[True] * len(frames.patches))
        return pairs

    def read_context(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        """Fresh context tokens (B, D) of normalised features (B, P, C)."""
        token: Tensor = self.context([x], guide)
        return token

    def read_motion(
        self, against_previous: Tensor, against_background: Tensor, share: Tensor, guide: Tensor | None = None
    ) -> Tensor:
        """Motion tokens (B, D) of two feature changes (B, P, C); `share` (B,) in 0…1 is how much of the reading
        shows.
        """
        read = self.motion([against_previous, against_background], guide)
        gate = share_of(share).unsqueeze(-1).to(read.dtype)
        token: Tensor = self.still.to(read.dtype) * (1 - gate) + read * gate
        return token

    def _changed(self, state: State, x: Tensor, luma: Tensor, ignored: Tensor | None) -> tuple[float, bool]:
        if state.previous is None or state.luma is None:
            return 0.0, False
        energy = float(change_energy(luma[None], state.luma[None], ignored))
        distance = float(1 - F.cosine_similarity(x, state.previous, dim=-1).mean())
        return energy, energy >= CUT_ENERGY and distance >= CUT_DISTANCE

    def _held(
        self, state: State, fresh: Tensor, luma: Tensor, energy: float, first: bool, ignored: Tensor | None
    ) -> tuple[bool, Tensor, Tensor]:
        if first or state.anchor is None or state.anchor_luma is None:
            return False, fresh.clone(), luma.clone()
        if float(F.cosine_similarity(fresh.float(), state.anchor.float(), dim=0)) >= HOLD_COSINE:
            return True, state.anchor, state.anchor_luma
        if energy < STILL and float(change_energy(luma[None], state.anchor_luma[None], ignored)) < DRIFT:
            return True, state.anchor, state.anchor_luma
        return False, fresh.clone(), luma.clone()


def _own(rows: Tensor | None) -> Tensor | None:
    """A tensor with storage of its own."""
    return None if rows is None else rows.clone()


def normalised(patches: Tensor) -> Tensor:
    """Patch features (…, C) with mean 0 and variance 1 per patch: the compressor's input."""
    return F.layer_norm(patches.float(), patches.shape[-1:])


def share_of(energy: Tensor) -> Tensor:
    """How much of the motion reading shows at an energy: nothing below STILL, all from twice STILL on."""
    return ((energy - STILL / 2) / (1.5 * STILL)).clamp(0, 1)
