"""A competitor asked about clips: a clip is read once into its language model's cache, and each question after it.

What the model is given is what its processor makes of its chat template; reading the clip and the question in two steps
gives the logits of one (a test). Yes or no is decided by the first token's scores, as on our own token route.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from evaluation.competitors import Loaded
from evaluation.sampling import Sampled
from evaluation.systems_run import Heard, Seen
from llama_vid.errors import BundleError

#: The longest answer in tokens: as our own (`llama_vid/full_tokens.py`).
ANSWER_TOKENS: Final = 48
#: The ways in which a model begins a yes or a no; a tokenizer may put the space before a word into the word.
YES: Final = ("Yes", " Yes", "yes", " yes")
NO: Final = ("No", " No", "no", " no")


@dataclass(slots=True)
class _Read:
    """A clip in the cache: the tokens up to the last of the video's (`ids`), those before the first (`head`)."""

    sampled: Sampled
    ids: Tensor
    head: list[int]
    cache: Any
    seen: Seen


class Chat:
    """A loaded competitor as a `System`. Not thread-safe; keeps the clip taken in last."""

    def __init__(self, loaded: Loaded, frames: int | None = None) -> None:
        """`frames` of each clip, evenly spread, instead of what its paper or card says."""
        kind, self._loaded, self._frames = loaded.kind, loaded, frames
        self._model, self._processor = loaded.model, loaded.processor
        self._tokenizer = loaded.processor.tokenizer
        self._video = int(loaded.model.config.video_token_id)
        self._yes, self._no = first_tokens(self._tokenizer, YES, NO)
        self._read: _Read | None = None
        taken = f"{frames} frames, evenly spread" if frames else kind.frames
        words = " ".join(kind.words.split())
        self.identity = f"{kind.name} {loaded.place} {loaded.state} {taken} {words!r} {loaded.dtype} on {loaded.device}"
        self.label = f"{kind.model_class}, {Path(loaded.place).name}, {_size(loaded.model)}"
        self.notes = f"{taken}; its chat template" + (f', "{words}"' if words else "")

    def take(self, clip: Path) -> None:
        """Decode the clip's frames and read them. Raises SourceError."""
        self._read = None
        self._read = self._prefilled(self._loaded.kind.sample(clip, self._frames), "?")

    def answer(self, asked: str, question: str) -> Heard:
        """Yes or no by the first token's scores, or a free answer, greedily."""
        if self._read is None:
            raise BundleError("no clip was taken in")
        head, suffix = self._split(self._ids(question, video=True))
        if head != self._read.head:  # a template that puts the question first: the clip is read again behind it
            self._read = self._prefilled(self._read.sampled, question)
        read = self._read
        length = int(read.ids.shape[1])
        try:
            return self._heard(asked, suffix, read.cache, length)
        finally:
            added = int(read.cache.get_seq_length()) - length
            if added:
                read.cache.crop(-added)

    def blind(self, asked: str, question: str) -> Heard:
        """The answer to the question alone, in the same template."""
        from transformers import DynamicCache

        ids = self._ids(question, video=False)
        return self._heard(asked, ids, DynamicCache(config=self._model.config.get_text_config()), 0)

    def seen(self) -> Seen:
        """Frames and tokens, counted in what the model was given."""
        return self._read.seen if self._read is not None else Seen(0, None)

    def logits(self, question: str) -> Tensor:
        """Scores (vocabulary,) of the first token of the answer about the clip taken in last."""
        if self._read is None:
            raise BundleError("no clip was taken in")
        _, suffix = self._split(self._ids(question, video=True))
        length = int(self._read.ids.shape[1])
        scores = self._forward(suffix, self._read.cache, length)
        self._read.cache.crop(-len(suffix))
        return scores

    def prompt(self, question: str, *, video: bool) -> str:
        """The model's chat template with the question in it, and the place of the video."""
        content: list[dict[str, str]] = [{"type": "video"}] if video else []
        content.append({"type": "text", "text": question + self._loaded.kind.words})
        message = [{"role": "user", "content": content}]
        text: str = self._processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        return text

    def inputs(self, sampled: Sampled, question: str) -> dict[str, Tensor]:
        """All that the model takes, as its processor makes it of the frames and the question."""
        from transformers.video_utils import VideoMetadata

        count, fps = len(sampled.seconds), sampled.fps
        metadata = VideoMetadata(
            total_num_frames=count,
            fps=fps,
            duration=sampled.duration,
            height=sampled.images.shape[1],
            width=sampled.images.shape[2],
            frames_indices=list(range(count)),
        )
        found = self._processor(
            text=self.prompt(question, video=True),
            videos=[sampled.images],
            video_metadata=[metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        tensors.pop("token_type_ids", None)
        return {
            name: value.to(self._loaded.device, self._loaded.dtype if value.is_floating_point() else None)
            for name, value in tensors.items()
        }

    @torch.inference_mode()
    def _prefilled(self, sampled: Sampled, question: str) -> _Read:
        given = self.inputs(sampled, question)
        ids = given.pop("input_ids")
        given.pop("attention_mask", None)
        places = (ids[0] == self._video).nonzero().flatten()
        if not len(places):
            raise BundleError(f"{self._loaded.place}: its chat template has no place for a video")
        ids = ids[:, : int(places[-1]) + 1]
        # Without the head: scores of every token of a long clip would be gigabytes.
        out = self._model.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **given)
        pixels = given["pixel_values_videos"]
        grid = given.get("video_grid_thw")
        frames = int(grid[0, 0]) if grid is not None else int(pixels.shape[1])
        head, _ = self._split(self._ids(question, video=True))
        return _Read(sampled, ids, head, out.past_key_values, Seen(frames, len(places)))

    def _ids(self, question: str, *, video: bool) -> list[int]:
        """The template's tokens, with one token where the video stands."""
        found: list[int] = self._tokenizer(self.prompt(question, video=video))["input_ids"]
        return found

    def _split(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """The tokens before the video, and those after it."""
        place = ids.index(self._video)
        return ids[:place], ids[place + 1 :]

    @torch.inference_mode()
    def _forward(self, ids: Sequence[int], cache: Any, length: int) -> Tensor:
        """Scores (vocabulary,) behind `length` tokens of the cache and `ids`, which join it."""
        given = torch.tensor([list(ids)], device=self._loaded.device)
        mask = torch.ones(1, length + len(ids), dtype=torch.long, device=self._loaded.device)
        out = self._model(input_ids=given, attention_mask=mask, past_key_values=cache, use_cache=True)
        scores: Tensor = out.logits[0, -1].float()
        return scores

    def _heard(self, asked: str, ids: Sequence[int], cache: Any, length: int) -> Heard:
        scores = self._forward(ids, cache, length)
        if asked == "yesno":
            margin = torch.logsumexp(scores[self._yes], 0) - torch.logsumexp(scores[self._no], 0)
            probability = float(torch.sigmoid(margin))
            return Heard("Yes" if probability >= 0.5 else "No", probability)
        ends, length, written = self._ends(), length + len(ids), list[int]()
        while len(written) < ANSWER_TOKENS and (token := int(scores.argmax())) not in ends:
            written.append(token)
            scores = self._forward([token], cache, length)
            length += 1
        return Heard(" ".join(self._tokenizer.decode(written, skip_special_tokens=True).split()))

    def _ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        named = getattr(self._model.generation_config, "eos_token_id", None)
        found = [named] if isinstance(named, int) else list(named or ())
        return frozenset([*found, *filter(None, [self._tokenizer.eos_token_id])])


def first_tokens(tokenizer: Any, *groups: Sequence[str]) -> tuple[list[int], ...]:
    """For each group of words the tokens with which they begin, without those that begin words of several groups."""
    found = [{tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words} for words in groups]
    shared = set.intersection(*found)
    kept = tuple(sorted(each - shared) for each in found)
    if not all(kept):
        raise BundleError("this model's tokenizer does not tell the beginning of a yes from that of a no")
    return kept


def _size(model: Any) -> str:
    count = sum(each.numel() for each in model.parameters())
    return f"{count / 1e9:.1f}B parameters" if count >= 1e8 else f"{count / 1e6:.2f}M parameters"
