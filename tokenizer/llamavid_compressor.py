"""The two tokens of a frame as the published LLaMA-VID checkpoints compute them.

    X = the raw patch features without the class feature;  Q = vlm_att_projector(Q-Former(vlm_att_ln(features), text))
    context = vlm_att_val_projector(mean over queries of softmax(Q · vlm_att_key_projector(X)ᵀ / √C) · X)
    content = mm_projector(X pooled to one feature, to a grid of n × n, or not at all)

Content stands where our own compressor has the motion token. Its context token needs a text: the question, where it is
known before the frames are read, else a camera's standing guide. Motion energy, cuts and still frames are told as
everywhere, from small luma pictures and the scorer's features (`compressor.py`).
Source: Li et al. 2024, LLaMA-VID, https://arxiv.org/abs/2311.17043.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.errors import BundleError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig, State, normalised
from llama_vid.tokenizer.llamavid_qformer import GuidedReader, QFormerShape, text_ids
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.tower import Encoded

#: What frames are read for while nobody has said what to look for.
STANDING: Final = "What is happening in the video?"


@dataclass(frozen=True, slots=True)
class GuidedEncoded(Encoded):
    """What the scorer's tower sees in B frames, and the `features` (B, 1 + P, C) of the checkpoint's own tower."""

    features: Tensor


class FrameTokens(nn.Module):
    """Raw features and a text's ids to a frame's tokens. `grid` is 1 for mean pooling, n for n × n, 0 for none."""

    def __init__(self, reader: QFormerShape, out: int, grid: int) -> None:
        super().__init__()
        self.grid, self.out = grid, out
        self.reader = GuidedReader(reader)
        self.query = nn.Linear(reader.width, reader.vision)
        self.key = nn.Linear(reader.vision, reader.vision)
        self.value = nn.Linear(reader.vision, out)
        self.content = nn.Sequential(nn.Linear(reader.vision, out), nn.GELU(), nn.Linear(out, out))

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """Tokens (B, 1 + n, D), context first: what the checkpoint gives for each frame."""
        return torch.cat([self.context(features, ids)[:, None], self.content(self.pooled(features[:, 1:]))], 1)

    def context(self, features: Tensor, ids: Tensor) -> Tensor:
        """Context tokens (B, D) of features (B, 1 + P, C) under a text's ids (L,)."""
        x = features[:, 1:]
        scores = self.query(self.reader(features, ids)) @ self.key(x).transpose(1, 2) / math.sqrt(x.shape[-1])
        token: Tensor = self.value((scores.softmax(-1) @ x).mean(1))
        return token

    def mean_content(self, features: Tensor) -> Tensor:
        """One content token (B, D) of features (B, 1 + P, C), whatever the checkpoint's own pooling."""
        token: Tensor = self.content(features[:, 1:].mean(1))
        return token

    def pooled(self, x: Tensor) -> Tensor:
        """Patch features (B, P, C) pooled to (B, n, C)."""
        if self.grid == 0:
            return x
        if self.grid == 1:
            return x.mean(1, keepdim=True)
        side = math.isqrt(x.shape[1])
        squares = x.transpose(1, 2).reshape(len(x), x.shape[2], side, side)
        return F.avg_pool2d(squares, side // self.grid).flatten(2).transpose(1, 2)

    def count(self, patches: int) -> int:
        """Tokens of a frame with so many patches, the context token included."""
        if self.grid == 0:
            return 1 + patches
        side = math.isqrt(patches)
        return 1 + ((side - side // self.grid) // (side // self.grid) + 1) ** 2


class GuidedCompressor(Compressor):
    """`Compressor` for a published checkpoint: the same calls, with a text's ids (L,) for a guide.

    It has no weights of its own but those of `tokens`, and holds no context token: a frame that the tower reads gets
    both tokens anew, as in the checkpoint's training; one that shows what the frame before showed repeats its pair.
    """

    def __init__(self, tokens: FrameTokens, *, patches: int, channels: int, standing: Tensor | None = None) -> None:
        nn.Module.__init__(self)  # not Compressor's: its readers are not these
        self.config = CompressorConfig(patches=patches, channels=channels, guide=0, out=tokens.out)
        self.tokens = tokens
        self.standing = text_ids(STANDING) if standing is None else standing
        self._nothing = torch.zeros(tokens.out)

    @property
    def per_frame(self) -> int:
        """Tokens that the checkpoint was trained to read of a frame: 2, or more where its content is not one token."""
        return self.tokens.count(self.config.patches - 1)

    def begin(self, guide: Tensor | None = None) -> State:
        """The state before the first frame; `guide` are the ids (L,) of what to look for (default: STANDING)."""
        return State(guide=(self.standing if guide is None else guide).reshape(1, -1))

    def run(
        self, state: State, frames: Encoded, *, gaps: list[bool] | None = None, ignored: Tensor | None = None
    ) -> tuple[State, list[TokenPair]]:
        """The pairs of T consecutive frames, content pooled to one token. Raises BundleError for another tower's."""
        features, ids = self._features(frames), self._ids(state)
        x = normalised(frames.patches)
        contexts, contents = self.tokens.context(features, ids), self.tokens.mean_content(features)
        pairs: list[TokenPair] = []
        for t in range(len(features)):
            if gaps is not None and gaps[t]:
                state = State(guide=state.guide)
            energy, cut = self._changed(state, x[t], frames.luma[t], ignored)
            # Copies: a pair that is kept must not keep the whole batch alive.
            pair = TokenPair(contexts[t].clone(), contents[t].clone(), energy, held=False, cut=cut)
            state = replace(state, previous=x[t].clone(), luma=frames.luma[t].clone(), anchor=pair.context)
            pairs.append(pair)
        return state, pairs

    def alone(self, frames: Encoded, guide: Tensor | None = None) -> list[TokenPair]:
        """Each frame by itself, in as many tokens as the checkpoint was trained on: `motion` holds n rows (n, D) where
        its content is not one token.
        """
        found = self.tokens(self._features(frames), self._ids(self.begin(guide)))
        contents = found[:, 1] if found.shape[1] == 2 else found[:, 1:]
        return [
            TokenPair(context.clone(), content.clone(), 0.0, held=False, cut=False)
            for context, content in zip(found[:, 0], contents, strict=True)
        ]

    @property
    def still_token(self) -> Tensor:
        """Zeros (D,): the checkpoint has no token for stillness."""
        return self._nothing

    def repeating(self, pair: TokenPair) -> TokenPair:
        """The pair of a frame that shows just what the one before it showed: the same two tokens."""
        return replace(pair, energy=0.0, held=True, cut=False)

    def _features(self, frames: Encoded) -> Tensor:
        if not isinstance(frames, GuidedEncoded) or frames.features.shape[1:] != (
            self.config.patches,
            self.config.channels,
        ):
            raise BundleError(
                f"a LLaMA-VID checkpoint reads {self.config.patches}×{self.config.channels} features of its own image "
                "tower, and these frames were encoded by another; load the checkpoint with LLaMAVID.from_pretrained"
            )
        return frames.features

    @staticmethod
    def _ids(state: State) -> Tensor:
        if state.guide is None:
            raise ValueError("a state comes from begin()")
        return state.guide[0]
