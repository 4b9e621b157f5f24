"""Stages 1 and 2: the compressor and the LoRA deltas, trained together through the frozen language model.

Stage 1 leans on captions, stage 2 on questions and synthetic clips; the recipe says how the two are mixed over time. A
short warm start without the language model first teaches both tokens to name what is there (`naming.py`): it costs
minutes and saves the language model's slow steps. Progress, the learning rate and the mix run on elapsed seconds, so
that a run fits the time it is given; a checkpoint is written every few minutes, and a run goes on where its last
checkpoint stopped.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, normalised
from training.decoder import TrainableDecoder
from training.feature_sets import FeatureSets
from training.naming import NamingLoss, word_bags
from training.options import AlignOptions
from training.packing import IGNORED, PAIR, Packer, Rows
from training.progress import Report, print_line
from training.sampling import Photos, Sampler, Shot

MOST_REFUSED: Final = 50  # items in a row that fit no empty row: then none will


class Trainer:
    """Holds model, optimiser and clock of a run; `report` takes every line of progress."""

    def __init__(
        self,
        compressor: Compressor,
        decoder: TrainableDecoder,
        features: FeatureSets,
        photos: Photos,
        sampler: Sampler,
        guides: Tensor,
        vocabulary: Tensor,
        options: AlignOptions,
        out: Path,
        report: Report = print_line,
    ) -> None:
        self.compressor, self.decoder, self.features = compressor, decoder, features
        self.photos, self.sampler, self.vocabulary = photos, sampler, vocabulary
        self.guides, self.options, self.out, self.report = guides, options, out, report
        embedding = decoder.get_buffer("embedding")
        self.words = F.normalize(embedding[vocabulary].float(), dim=-1)
        self.head = embedding[vocabulary].contiguous()
        self.index = torch.full((len(embedding),), IGNORED)
        self.index[vocabulary] = torch.arange(len(vocabulary))
        rate, lora_rate = options.compressor_rate, options.lora_rate
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(compressor.parameters()), "lr": rate, "base": rate},
                {"params": list(decoder.parameters()), "lr": lora_rate, "base": lora_rate, "weight_decay": 0.0},
            ],
            weight_decay=options.decay,
            betas=(0.9, 0.98),
        )
        self.elapsed, self.warm, self.step_count = 0.0, 0.0, 0
        self.log: list[dict[str, float]] = []

    @property
    def token_norm(self) -> float:
        """The mean length of the language model's word embeddings: what the tokens' length is held near."""
        return float(self.decoder.get_buffer("embedding")[self.vocabulary].float().norm(dim=-1).mean())

    @property
    def progress(self) -> float:
        """How much of the language-model steps' time is over, 0…1."""
        return min(1.0, self.elapsed / self.options.seconds) if self.options.seconds else 1.0

    def save(self) -> None:
        """Write the checkpoint in one rename."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.out.with_suffix(".tmp")
        state = {
            "compressor": self.compressor.state_dict(),
            "decoder": self.decoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "elapsed": self.elapsed,
            "warm": self.warm,
            "steps": self.step_count,
            "log": self.log,
            "config": asdict(self.compressor.config),
            "rank": self.decoder.rank,
        }
        torch.save(state, fresh)
        fresh.rename(self.out)

    def resume(self) -> None:
        """Go on from the checkpoint if there is one, with new random draws instead of those of the first steps."""
        if self.out.exists():
            state = torch.load(self.out, weights_only=True)
            self.compressor.load_state_dict(state["compressor"])
            self.decoder.load_state_dict(state["decoder"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.elapsed, self.warm, self.step_count = state["elapsed"], state["warm"], state["steps"]
            self.log = state["log"]
            self.sampler.rng = random.Random(self.options.seed + self.step_count)
            torch.manual_seed(self.options.seed + self.step_count)

    def tokens(self, shots: list[Shot], guide: Tensor | None = None) -> Tensor:
        """Context and motion tokens of shots, interleaved: (2 * shots, D)."""
        x = normalised(self.features.get([(s.photo, s.view) for s in shots]).float())
        noise = torch.rand(len(x), 1, 1) * 0.3  # sensor noise moves deep features; see tokenizer/change.py
        x = x + noise * torch.randn_like(x)
        nothing = torch.zeros_like(x[0])
        previous = torch.stack([nothing if s.previous is None else x[s.previous] for s in shots])
        anchors = torch.tensor([s.anchor for s in shots])
        background = torch.stack(
            [
                nothing if s.previous is None else x[s.anchor] if s.anchor != i else x[s.previous]
                for i, s in enumerate(shots)
            ]
        )
        energy = torch.tensor([s.energy for s in shots])
        with torch.autocast("cpu", torch.bfloat16):
            context = self.compressor.read_context(x, guide)[anchors]
            motion = self.compressor.read_motion(x - previous, x - background, energy, guide)
        return torch.stack([context.float(), motion.float()], 1).flatten(0, 1)

    def warm_up(self) -> None:
        """Teach both tokens to name the words of their photo's captions."""
        options, rng = self.options, random.Random(self.options.seed)
        began, start = time.monotonic(), self.warm
        captions = {photo: self.photos.captions[photo] for photo in self.sampler.captioned}
        naming = NamingLoss(self.words, word_bags(captions, self.sampler.encode, self.index), self.token_norm)
        optimiser = torch.optim.AdamW(
            [*self.compressor.parameters(), *naming.parameters()], lr=options.warm_rate, weight_decay=0.05
        )
        batch, total, steps = min(options.warm_batch, len(captions)), 0.0, 0
        while self.warm < options.warm_seconds:
            self.warm = start + time.monotonic() - began
            rate = cosine(min(1.0, self.warm / options.warm_seconds), 0.05)
            optimiser.param_groups[0]["lr"] = options.warm_rate * min(1.0, (steps + 1) / 50) * rate
            chosen = rng.sample(self.sampler.captioned, batch)
            shots = [Shot(p, rng.randrange(self.photos.views[p]), i, None, 1.0) for i, p in enumerate(chosen)]
            loss: Tensor = naming(self.tokens(shots).view(batch, 2, -1), chosen)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.compressor.parameters(), 1.0)
            optimiser.step()
            total, steps = total + loss.item(), steps + 1
            if steps % (2 * options.report_steps) == 0:
                self.report({"warm": round(self.warm), "loss": round(total / (2 * options.report_steps), 4)})
                total = 0.0
        self.save()

    def batch(self) -> tuple[list[Shot], Rows, Tensor | None]:
        """One step's shots and packed rows; a share of the steps reads with a guide."""
        options, progress = self.options, self.progress
        packer, shots = Packer(options.rows, options.length), list[Shot]()
        clips = options.clips_first + (options.clips_last - options.clips_first) * progress
        captions, checks = 3 if progress < 0.5 else 2, 2 if progress < 0.25 else 4
        refused = 0
        while True:
            before = len(shots)
            if self.sampler.rng.random() < clips:
                item = self.sampler.clip(shots, checks=4)
            else:
                item = self.sampler.photo(shots, captions=captions, checks=checks, others=2)
            if not packer.add(item):
                del shots[before:]
                refused += 1
                if shots:
                    break
                if refused == MOST_REFUSED:
                    raise ConfigError(
                        f"length {options.length} holds no item of memory and questions; give longer rows"
                    )
        guide = None
        if self.sampler.rng.random() < options.guided:
            guide = self.guides[torch.randint(len(self.guides), (len(shots),))]
            for i, s in enumerate(shots):
                guide[i] = guide[s.anchor]
        return shots, packer.finish(), guide

    def loss(self, shots: list[Shot], rows: Rows, guide: Tensor | None, decoder: Callable[..., Tensor]) -> Tensor:
        """The weighted mean cross-entropy of the rows' labels."""
        pairs = self.tokens(shots, guide)
        x = self.decoder.get_buffer("embedding")[rows.ids.clamp(min=0)]
        x = x.index_put((rows.slots[:, 0], rows.slots[:, 1]), pairs[rows.frames].to(x.dtype))
        hidden = decoder(x, rows.positions, rows.mask)
        wanted = rows.labels != IGNORED
        logits = F.linear(hidden[wanted], self.head).float()
        weights = rows.weights[wanted]
        losses = F.cross_entropy(logits, self.index[rows.labels[wanted]], reduction="none")
        return (losses * weights).sum() / weights.sum()

    def train(self) -> None:
        """Language-model steps until the recipe's seconds are used up."""
        options = self.options
        forward: Callable[..., Tensor] = self.decoder
        if options.compiled:
            forward = torch.compile(self.decoder, dynamic=False)
        began, start, first = time.monotonic(), self.elapsed, True
        saved, window = time.monotonic(), [0.0, 0.0, 0.0]
        while self.elapsed < options.seconds:
            shots, rows, guide = self.batch()
            for group in self.optimiser.param_groups:
                group["lr"] = group["base"] * min(1.0, (self.step_count + 1) / 60) * cosine(self.progress, 0.03)
            loss = self.loss(shots, rows, guide, forward)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.compressor.parameters(), 1.0)
            nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
            self.optimiser.step()
            self.step_count += 1
            if first:
                began, start, first = time.monotonic(), self.elapsed, False  # compiling is not training
            self.elapsed = start + time.monotonic() - began
            window = [window[0] + loss.item(), window[1] + 1, window[2] + int((rows.ids == PAIR).sum()) / 2]
            if self.step_count % options.report_steps == 0:
                mean = round(window[0] / window[1], 4)
                self.log.append({"step": self.step_count, "seconds": round(self.elapsed), "loss": mean})
                self.report(self.log[-1] | {"frames": window[2] / window[1]})
                window = [0.0, 0.0, 0.0]
            if time.monotonic() - saved > options.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.save()


def cosine(progress: float, floor: float) -> float:
    """A share that falls from 1 to `floor` along half a cosine as `progress` goes from 0 to 1."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
