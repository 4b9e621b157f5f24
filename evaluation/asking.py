"""The same questions put to every system: ours by either route, `full`, the last frame only, and no video at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from evaluation.clips import Clip, by_clip
from evaluation.model import Missing, VideoModel, full_of
from llama_vid.errors import SourceError

logger = logging.getLogger(__name__)

Route = Literal["all", "tokens"]


def ask(model: VideoModel, system: str, route: Route, clip: Clip, questions: Sequence[str]) -> list[str] | Missing:
    """One system's answers to questions about a clip; Missing if the model has no such system.

    Route `all` asks as a user would, `tokens` the two tokens and the language model alone. A clip that cannot be read
    gives empty answers, which are wrong: one damaged file must not void a run.
    """
    path = str(clip.path)
    try:
        if system == "blind":
            return model.tokens.ask_blind(questions)
        if system == "full":
            full = full_of(model)
            return full if isinstance(full, Missing) else full.ask(path, questions)
        last = system == "last-frame"
        if route == "tokens":
            return model.tokens.ask(path, questions, last_frame_only=last)
        film = model.open(path, last_frame_only=last)
        return [film.ask(question).answer for question in questions]
    except SourceError as problem:
        logger.warning("%s: %s", clip.path.name, problem)
        return [""] * len(questions)


def ask_all(
    model: VideoModel,
    system: str,
    route: Route,
    asked: Sequence[tuple[Clip, str]],
    tick: Callable[[], None] = lambda: None,
) -> list[str] | Missing:
    """One system's answers to (clip, question) pairs, in their order; each clip is opened once, then `tick` called."""
    if system == "blind":  # it sees no clip: all at once
        return model.tokens.ask_blind([question for _, question in asked])
    answers = [""] * len(asked)
    for clip, numbers in by_clip([clip for clip, _ in asked]).items():
        found = ask(model, system, route, clip, [asked[number][1] for number in numbers])
        if isinstance(found, Missing):
            return found
        for number, text in zip(numbers, found, strict=True):
            answers[number] = text
        tick()
    return answers
