"""Stages 1 and 2: the compressor and the LoRA deltas, trained together through the frozen language model.

Stage 1 leans on captions, stage 2 on questions and synthetic clips; the recipe says how the two are mixed over time. A short
warm start without the language model first teaches both tokens to name what is there: the dot product of the tokens with the
language model's own word embeddings must pick out the caption's words. It costs minutes and saves the language model's slow
steps. Progress, the learning rate and the mix run on elapsed seconds, so that a run fits the time it is given; a checkpoint
is written every few minutes, and a run goes on where its last checkpoint stopped.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from training.decoder import TrainableDecoder
from training.packing import IGNORED, PAIR, Packer, Rows
from training.sampling import Photos, Sampler, Shot

from llama_vid.tokenizer.compressor import Compressor, normalised


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """The recipe of one run. `seconds` of language-model steps after `warm_seconds` of warm start."""

    seconds: float
    warm_seconds: float = 240.0
    rows: int = 8
    length: int = 288
    rank: int = 16
    compressor_rate: float = 6e-4
    lora_rate: float = 6e-4
    decay: float = 0.02
    seed: int = 0
    checkpoint_seconds: float = 300.0


class FeatureSets:
    """Features of several photo sets behind one index: (photo, view) to (P, C)."""

    def __init__(self, arrays: list[npt.NDArray[np.float16]]) -> None:
        self.arrays = arrays
        self.offsets = np.cumsum([0, *(a.shape[1] for a in arrays)])

    def get(self, shots: list[tuple[int, int]]) -> Tensor:
        """Features (B, P, C) float16 of (photo, view) pairs."""
        out = torch.empty(len(shots), *self.arrays[0].shape[2:], dtype=torch.float16)
        for row, (photo, view) in enumerate(shots):
            which = int(np.searchsorted(self.offsets, photo, side="right")) - 1
            out[row] = torch.from_numpy(self.arrays[which][view, photo - int(self.offsets[which])])
        return out


class Trainer:
    """Holds model, optimiser and clock of a run."""

    def __init__(self, compressor: Compressor, decoder: TrainableDecoder, features: FeatureSets, photos: Photos, sampler: Sampler,
                 guides: Tensor, vocabulary: Tensor, options: AlignOptions, out: Path) -> None:
        self.compressor, self.decoder, self.features, self.photos, self.sampler = compressor, decoder, features, photos, sampler
        self.guides, self.options, self.out = guides, options, out
        self.vocabulary = vocabulary
        self.words = F.normalize(decoder.get_buffer("embedding")[vocabulary].float(), dim=-1)
        self.head = decoder.get_buffer("embedding")[vocabulary].contiguous()
        self.index = torch.full((len(decoder.get_buffer("embedding")),), IGNORED)
        self.index[vocabulary] = torch.arange(len(vocabulary))
        self.optimiser = torch.optim.AdamW([
            {"params": list(compressor.parameters()), "lr": options.compressor_rate, "base": options.compressor_rate},
            {"params": list(decoder.parameters()), "lr": options.lora_rate, "base": options.lora_rate, "weight_decay": 0.0},
        ], weight_decay=options.decay, betas=(0.9, 0.98))
        self.elapsed, self.warm, self.step_count = 0.0, 0.0, 0
        self.log: list[dict[str, float]] = []

    def save(self) -> None:
        """Write the checkpoint in one rename."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.out.with_suffix(".tmp")
        torch.save({"compressor": self.compressor.state_dict(), "decoder": self.decoder.state_dict(), "optimiser": self.optimiser.state_dict(),
                    "elapsed": self.elapsed, "warm": self.warm, "steps": self.step_count, "log": self.log}, fresh)
        fresh.rename(self.out)

    def resume(self) -> None:
        """Go on from the checkpoint if there is one."""
        if self.out.exists():
            state = torch.load(self.out, weights_only=True)
            self.compressor.load_state_dict(state["compressor"])
            self.decoder.load_state_dict(state["decoder"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.elapsed, self.warm, self.step_count, self.log = state["elapsed"], state["warm"], state["steps"], state["log"]

    def tokens(self, shots: list[Shot], guide: Tensor | None = None) -> Tensor:
        """Context and motion tokens of shots, interleaved: (2 * shots, D)."""
        x = normalised(self.features.get([(s.photo, s.view) for s in shots]).float())
        noise = torch.rand(len(x), 1, 1) * 0.3  # sensor noise moves deep features; see tokenizer/change.py
        x = x + noise * torch.randn_like(x)
        previous = torch.stack([torch.zeros_like(x[0]) if s.previous is None else x[s.previous] for s in shots])
        anchors = torch.tensor([s.anchor for s in shots])
        background = torch.stack([torch.zeros_like(x[0]) if s.previous is None else x[s.anchor] if s.anchor != i else x[s.previous]
                                  for i, s in enumerate(shots)])
        with torch.autocast("cpu", torch.bfloat16):
            context = self.compressor.read_context(x, guide)[anchors]
            motion = self.compressor.read_motion(x - previous, x - background, torch.tensor([s.energy for s in shots]), guide)
        return torch.stack([context.float(), motion.float()], 1).flatten(0, 1)

    def warm_up(self) -> None:
        """Teach both tokens to name the words of their photo's captions."""
        rng, began, bags = random.Random(self.options.seed), time.monotonic(), {}
        for photo in self.sampler.captioned:
            ids = {int(self.index[t]) for c in self.photos.captions[photo] for t in self.sampler.encode(" " + c.rstrip(" ."))}
            bags[photo] = sorted(i for i in ids if i >= 0)
        counts = np.zeros(len(self.vocabulary))
        for bag in bags.values():
            counts[bag] += 1
        useful = torch.from_numpy((counts >= 8) & (counts < 2500))
        bias = nn.Parameter(torch.from_numpy(np.log((counts + 0.5) / (len(bags) - counts + 0.5))).float())
        scale = nn.Parameter(torch.tensor(8.0))
        bow = torch.optim.AdamW([*self.compressor.parameters(), bias, scale], lr=8e-4, weight_decay=0.05)
        words, batch, start = self.words[useful], 128, self.warm
        total, steps = 0.0, 0
        while self.warm < self.options.warm_seconds:
            self.warm = start + time.monotonic() - began
            bow.param_groups[0]["lr"] = 8e-4 * min(1.0, (steps + 1) / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.warm / self.options.warm_seconds))))
            chosen = rng.sample(self.sampler.captioned, batch)
            shots = [Shot(p, rng.randrange(self.photos.views[p]), i, None, 1.0) for i, p in enumerate(chosen)]
            target = torch.zeros(batch, len(self.vocabulary))
            for row, photo in enumerate(chosen):
                target[row, bags[photo]] = 1.0
            pairs = self.tokens(shots).view(batch, 2, -1)
            loss = torch.zeros(())
            for half in (0, 1):
                logits = scale * F.normalize(pairs[:, half], dim=-1) @ words.T * 4 + bias[useful]
                loss = loss + F.binary_cross_entropy_with_logits(logits, target[:, useful]) * 100
            norm = pairs.norm(dim=-1)
            loss = loss + ((norm / self.token_norm - 1) ** 2).mean()
            bow.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.compressor.parameters(), 1.0)
            bow.step()
            total, steps = total + loss.item(), steps + 1
            if steps % 40 == 0:
                print(json.dumps({"warm": round(self.warm), "loss": round(total / 40, 4)}), flush=True)
                total = 0.0
        self.save()

    @property
    def token_norm(self) -> float:
        """The mean length of the language model's word embeddings: what the tokens' length is held near."""
        return float(self.decoder.get_buffer("embedding")[self.vocabulary].float().norm(dim=-1).mean())

    def batch(self) -> tuple[list[Shot], Rows, Tensor | None]:
        """One step's shots and packed rows; one step in five reads with a guide."""
        packer, shots = Packer(self.options.rows, self.options.length), list[Shot]()
        progress = min(1.0, self.elapsed / self.options.seconds)
        clips = 0.15 + 0.3 * progress
        while True:
            before = len(shots)
            if self.sampler.rng.random() < clips:
                item = self.sampler.clip(shots, checks=4)
            else:
                item = self.sampler.photo(shots, captions=3 if progress < 0.5 else 2, checks=2 if progress < 0.25 else 4, others=2)
            if not packer.add(item):
                del shots[before:]
                break
        guide = None
        if self.sampler.rng.random() < 0.2:
            guide = self.guides[torch.randint(len(self.guides), (len(shots),))]
            for i, s in enumerate(shots):
                guide[i] = guide[s.anchor]
        return shots, packer.finish(), guide

    def train(self) -> None:
        """Language-model steps until the recipe's seconds are used up."""
        forward = torch.compile(self.decoder, dynamic=False)
        began, start = time.monotonic(), self.elapsed
        saved, window = time.monotonic(), [0.0, 0.0, 0.0]
        while self.elapsed < self.options.seconds:
            shots, rows, guide = self.batch()
            progress = min(1.0, self.elapsed / self.options.seconds)
            for group in self.optimiser.param_groups:
                group["lr"] = group["base"] * min(1.0, (self.step_count + 1) / 60) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * progress)))
            pairs = self.tokens(shots, guide)
            embedding = self.decoder.get_buffer("embedding")
            x = embedding[rows.ids.clamp(min=0)]
            x = x.index_put((rows.slots[:, 0], rows.slots[:, 1]), pairs[rows.frames].to(x.dtype))
            hidden = forward(x, rows.positions, rows.mask)
            wanted = rows.labels != IGNORED
            logits = F.linear(hidden[wanted], self.head).float()
            weights = rows.weights[wanted]
            losses = F.cross_entropy(logits, self.index[rows.labels[wanted]], reduction="none")
            loss = (losses * weights).sum() / weights.sum()
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.compressor.parameters(), 1.0)
            nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
            self.optimiser.step()
            self.step_count += 1
            if self.step_count == 1:
                began, start = time.monotonic(), self.elapsed  # compiling is not training
            self.elapsed = start + time.monotonic() - began
            window = [window[0] + loss.item(), window[1] + 1, window[2] + int((rows.ids == PAIR).sum()) / 2]
            if self.step_count % 20 == 0:
                self.log.append({"step": self.step_count, "seconds": round(self.elapsed), "loss": round(window[0] / window[1], 4)})
                print(json.dumps(self.log[-1] | {"frames": window[2] / window[1]}), flush=True)
                window = [0.0, 0.0, 0.0]
            if time.monotonic() - saved > self.options.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.save()
