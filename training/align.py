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
from llama_vid.tokenizer.compressor import BACKGROUND_RATE, Compressor, normalised
from llama_vid.tokenizer.full import FullProjector
from training.clips import recalled_clip, scene_clip
from training.decoder import TrainableDecoder
from training.feature_sets import FeatureSets
from training.films import Films
from training.naming import NamingLoss, word_bags
from training.options import AlignOptions
from training.packing import IGNORED, PAIR, Item, Packer, Rows
from training.progress import Report, print_line
from training.sampling import Photos, Sampler, Shot

MOST_REFUSED: Final = 50  # items in a row that fit no empty row: then none will


class Trainer:
    """Holds model, optimiser and clock of a run; `report` takes every line of progress.

    `compressor` is what is trained to read frames: a `Compressor` (two tokens a frame), or for the baseline `full` a
    `FullProjector` (every patch a token). `films` are rendered films, if there are any.
    """

    def __init__(
        self,
        compressor: Compressor | FullProjector,
        decoder: TrainableDecoder,
        features: FeatureSets,
        photos: Photos,
        sampler: Sampler,
        guides: Tensor,
        vocabulary: Tensor,
        options: AlignOptions,
        out: Path,
        report: Report = print_line,
        films: Films | None = None,
    ) -> None:
        self.films = films
        self.per_frame = compressor.patches if isinstance(compressor, FullProjector) else 2
        self.compressor, self.decoder, self.features = compressor, decoder, features
        self.photos, self.sampler, self.vocabulary = photos, sampler, vocabulary
        self.guides, self.options, self.out, self.report = guides, options, out, report
        embedding = decoder.get_buffer("embedding")
        self.words = F.normalize(embedding[vocabulary].float(), dim=-1)
        self.head = decoder.get_buffer("output")[vocabulary].contiguous()
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
            "config": asdict(self.compressor.config) if isinstance(self.compressor, Compressor) else {},
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
        """The tokens of shots, one after another: context and motion (2 · shots, D), or all patches (P · shots, D)."""
        x = normalised(self.features.get([(s.photo, s.view) for s in shots]).float())
        noise = torch.rand(len(x), 1, 1) * 0.3  # sensor noise moves deep features; see tokenizer/change.py
        x = x + noise * torch.randn_like(x)
        if isinstance(self.compressor, FullProjector):
            with torch.autocast("cpu", torch.bfloat16):
                patches: Tensor = self.compressor(x).float().flatten(0, 1)
                return patches
        previous, background = self._before(shots, x)
        anchors = torch.tensor([s.anchor for s in shots])
        energy = torch.tensor([s.energy for s in shots])
        with torch.autocast("cpu", torch.bfloat16):
            context = self.compressor.read_context(x, guide)[anchors]
            motion = self.compressor.read_motion(x - previous, x - background, energy, guide)
        return torch.stack([context.float(), motion.float()], 1).flatten(0, 1)

    @staticmethod
    def _before(shots: list[Shot], x: Tensor) -> tuple[Tensor, Tensor]:
        """What each shot is compared with: the frame before it and the slowly moving background, as at run time."""
        nothing = torch.zeros_like(x[0])
        previous, background = list[Tensor](), list[Tensor]()
        for shot in shots:
            at = shot.previous
            if at is None:
                previous.append(nothing)
                background.append(nothing)
                continue
            previous.append(x[at])
            first = shots[at].previous is None
            background.append(x[at] if first else torch.lerp(background[at], x[at], BACKGROUND_RATE))
        return torch.stack(previous), torch.stack(background)

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
            tokens = self.tokens(shots).view(batch, self.per_frame, -1)
            # Of many tokens a frame their mean is what names it.
            loss: Tensor = naming(
                tokens if self.per_frame == 2 else tokens.mean(1, keepdim=True).expand(-1, 2, -1), chosen
            )
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
        options = self.options
        packer, shots = Packer(options.rows, options.length, self.per_frame), list[Shot]()
        refused = 0
        while True:
            before = len(shots)
            item = self._item(shots)
            if options.most_frames:
                item = thinned(item, options.most_frames)
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
        if self.per_frame == 2 and self.sampler.rng.random() < options.guided:
            guide = self.guides[torch.randint(len(self.guides), (len(shots),))]
            for i, s in enumerate(shots):
                guide[i] = guide[s.anchor]
        return shots, packer.finish(), guide

    def _item(self, shots: list[Shot]) -> Item:
        """One memory with its questions, of the kinds that are due."""
        options, progress, rng = self.options, self.progress, self.sampler.rng
        clips = options.clips_first + (options.clips_last - options.clips_first) * progress
        draw = rng.random()
        if self.films is not None and draw < options.films:
            return self.films.item(self.sampler, shots)
        if rng.random() >= clips:
            captions, checks = 3 if progress < 0.5 else 2, 2 if progress < 0.25 else 4
            return self.sampler.photo(shots, captions=captions, checks=checks, others=2)
        if rng.random() < options.recalled:
            return recalled_clip(self.sampler, shots)
        return scene_clip(self.sampler, shots, checks=4)

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
            window = [
                window[0] + loss.item(),
                window[1] + 1,
                window[2] + int((rows.ids == PAIR).sum()) / self.per_frame,
            ]
            if self.step_count % options.report_steps == 0:
                mean = round(window[0] / window[1], 4)
                self.log.append({"step": self.step_count, "seconds": round(self.elapsed), "loss": mean})
                self.report(self.log[-1] | {"frames": window[2] / window[1]})
                window = [0.0, 0.0, 0.0]
            if time.monotonic() - saved > options.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.save()


def thinned(item: Item, most: int) -> Item:
    """An item whose memory holds at most `most` of its frames, evenly spread (many tokens leave no room for more)."""
    places = [at for at, token in enumerate(item.prefix) if token < 0]
    if len(places) <= most:
        return item
    kept = {places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)}
    prefix = [token for at, token in enumerate(item.prefix) if token >= 0 or at in kept]
    return Item(prefix, item.segments)


def cosine(progress: float, floor: float) -> float:
    """A share that falls from 1 to `floor` along half a cosine as `progress` goes from 0 to 1."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
