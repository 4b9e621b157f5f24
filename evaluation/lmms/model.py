"""LLaMA-VID Live as a model of lmms-eval: `lmms-eval --model llama_vid_live --model_args model=mini,route=all`.

Written against the interface of lmms-eval 0.7.3 (`lmms_eval/api/model.py`, `lmms_eval/api/instance.py`): a "simple"
model, whose requests carry (context, generation arguments, doc_to_visual, document, task, split). The evaluator hands
every rank its own share of the documents; a rank is one process with a model of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from lmms_eval.api.model import lmms

from evaluation.lmms.answering import Answerer, Settings
from evaluation.lmms.films import Films
from llama_vid.errors import LlamaVidError

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: The answer about a video that cannot be shown: counted, and without a word that reads as an option's letter. (An
#: empty answer would leave MVBench's accuracy instead of lowering it; NExT-QA's reader guesses where it finds none.)
UNREADABLE: Final = "unreadable video"
#: Rounds of one conversation at most: a task that never ends one must not hold up the rest.
ROUNDS: Final = 64


class LlamaVidLive(lmms):  # type: ignore[misc, unused-ignore]  # untyped where lmms-eval is absent
    """A bundle at work in lmms-eval. What `--model_args` may say is in `Settings`; `--device` is `device`."""

    is_simple = True

    def __init__(self, **arguments: Any) -> None:
        """Load the bundle. Raises ConfigError for an unknown argument and BundleError if the bundle is not there."""
        super().__init__()
        settings = Settings.of(arguments)
        self._rank = int(os.environ.get("RANK", "0"))
        self._world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self._device = _device(settings.device)
        self.unreadable = 0  # questions about videos that could not be shown
        self.answerer = Answerer(self._films(settings), route=settings.route)

    def _films(self, settings: Settings) -> Films:
        from llama_vid.model import LLaMAVID

        loaded = LLaMAVID.from_pretrained(settings.model, device=str(self._device), dtype=settings.dtype)
        return Films(loaded, fps=settings.fps, folder_fps=settings.folder_fps, kept=settings.films)

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self._device

    @property
    def batch_size(self) -> int:
        """Questions at once: films are asked one question after another."""
        return 1

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Each request's answer, in the order of the requests; those about one video are answered together."""
        answers = [""] * len(requests)
        for number, visuals in self._by_video(requests):
            context, arguments = requests[number].args[:2]
            answers[number] = self._answered(visuals, context, arguments)
            self.cache_hook.add_partial("generate_until", (context, arguments), answers[number])
        return self._done(answers)

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[list[str]]:
        """The answers of each conversation's rounds, in order. The task's `doc_to_text` says what comes next."""
        rounds: list[list[str]] = [[] for _ in requests]
        for number, visuals in self._by_video(requests):
            context, arguments, _, next_round, doc_id, task, split = requests[number].args
            said: list[str] = []
            state = None
            for count in range(1, ROUNDS + 1):
                said.append(self._answered(visuals, context, arguments))
                further, context, over, said, state = next_round(
                    self.task_dict[task][split][doc_id],
                    previous_output=said,
                    round_idx=count,
                    previous_round_info=state,
                )
                said = list(said)
                if over:
                    break
                visuals = visuals if further is None else further
            rounds[number] = said
        return self._done(rounds)

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Each continuation's log-probability behind the film's tokens, and whether greedy decoding writes it.

        The language model alone decides, whatever the route; a video that cannot be shown is left out of sight.
        """
        found = [(0.0, False)] * len(requests)
        for number, visuals in self._by_video(requests):
            context, continuation = requests[number].args[:2]
            if callable(continuation):
                continuation = continuation(self._document(requests[number]))
            try:
                key = self.answerer.films.key(visuals)
                found[number] = self.answerer.likelihood(key, context, str(continuation))
            except LlamaVidError as problem:
                self._note(problem)
                found[number] = self.answerer.likelihood("", context, str(continuation))
        return self._done(found)

    def _answered(self, visuals: Sequence[Any], context: str, arguments: dict[str, Any]) -> str:
        try:
            key = self.answerer.films.key(visuals)
            return self.answerer.answer(key, context, **_limits(arguments))
        except LlamaVidError as problem:
            self._note(problem)
            return UNREADABLE

    def _note(self, problem: LlamaVidError) -> None:
        self.unreadable += 1
        logger.warning("%s", problem)

    def _by_video(self, requests: Sequence[Instance]) -> Iterator[tuple[int, list[Any]]]:
        """The requests' numbers with what they show, so that those about one video follow one another."""
        places: dict[Any, list[int]] = {}
        for number, request in enumerate(requests):
            visuals = self._visuals(request)
            paths = all(isinstance(item, str) for item in visuals)
            # Pictures are not kept until their turn comes: a document's stand together anyway.
            key = tuple(visuals) if paths else (request.args[-2], request.args[-1], request.args[-3])
            places.setdefault(key, []).append(number)
        for numbers in places.values():
            visuals = self._visuals(requests[numbers[0]])
            for number in numbers:
                yield number, visuals

    def _visuals(self, request: Instance) -> list[Any]:
        if len(request.args) < 3:
            return []  # a continuation weighed without anything before it
        shown: Callable[[Any], Any] = request.args[2]
        found = shown(self._document(request))
        return [] if found is None else list(found) if isinstance(found, (list, tuple)) else [found]

    def _document(self, request: Instance) -> Any:
        doc_id, task, split = request.args[-3:]
        return self.task_dict[task][split][doc_id]

    def _done(self, results: list[T]) -> list[T]:
        if self.unreadable:
            logger.warning("%d questions were about videos that could not be shown", self.unreadable)
        return results


def _limits(arguments: dict[str, Any]) -> dict[str, Any]:
    """What of the generation arguments applies: answers are greedy and short whatever the rest says."""
    until = arguments.get("until") or ()
    limits: dict[str, Any] = {"until": (until,) if isinstance(until, str) else tuple(until)}
    if arguments.get("max_new_tokens"):
        limits["max_tokens"] = int(arguments["max_new_tokens"])
    return limits


def _device(name: str) -> torch.device:
    """The device of that name; of several processes on one machine each takes a GPU of its own."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    local = os.environ.get("LOCAL_RANK")
    return torch.device(f"cuda:{local}" if name == "cuda" and local is not None else name)
