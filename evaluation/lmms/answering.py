"""A benchmark's question and a film in, the answer that the benchmark reads out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self

import torch
from torch import Tensor

from evaluation.lmms.films import KEPT, Films
from evaluation.lmms.prompts import brief, read_prompt
from llama_vid.errors import ConfigError
from llama_vid.llm.choosing import Chooser
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.options import Choices
from llama_vid.llm.prompts import question_suffix, shortened
from llama_vid.llm.session import embed_segments
from llama_vid.token_route import TokenRoute

Route = Literal["all", "tokens"]
#: What lmms-eval passes to every model and this one has no use for.
_UNUSED: Final = frozenset({"batch_size", "max_batch_size"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What `--model_args` may say.

    `model` is a bundle's name or folder (`pretrained` is another word for it); `route` is `all`, the whole program, or
    `tokens`, the two tokens of a frame and the language model alone; `fps` is how many frames a second of a video are
    taken, `folder_fps` how many a folder of frames holds; `films` are kept open.
    """

    model: str = "mini"
    route: Route = "all"
    device: str = "auto"
    dtype: str = "auto"
    fps: float = 1.0
    folder_fps: float = 3.0
    films: int = KEPT

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """The settings that `--model_args` gives. Raises ConfigError for an unknown name or a value that cannot be."""
        given = {name: value for name, value in arguments.items() if name not in _UNUSED and value is not None}
        if "pretrained" in given:
            given["model"] = given.pop("pretrained")
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ConfigError(f"--model_args: there is no {unknown[0]!r}; known: {', '.join(known)}")
        if given.get("route", "all") not in ("all", "tokens"):
            raise ConfigError(f"--model_args: route is all or tokens, not {given['route']!r}")
        try:
            for name in ("fps", "folder_fps"):
                given[name] = float(given.get(name, getattr(cls(), name)))
            given["films"] = int(given.get("films", KEPT))
        except (TypeError, ValueError) as problem:
            raise ConfigError(f"--model_args: fps, folder_fps and films are numbers ({problem})") from None
        if given["fps"] <= 0 or given["folder_fps"] <= 0 or given["films"] < 1:
            raise ConfigError("--model_args: fps and folder_fps are above 0, films is 1 or more")
        return cls(**{**given, "model": str(given.get("model", "mini"))})


class Answerer:
    """Answers questions about films. Not thread-safe.

    Multiple choice is answered with a letter: the option that the film fits best (`llm/choosing.py`). Other questions
    are asked as a user would ask them (route `all`), or put to the tokens alone (route `tokens`). Without a film (an
    empty key) the language model answers alone.
    """

    def __init__(self, films: Films, *, route: Route = "all") -> None:
        self.films = films
        self.route = route
        self.tokens = TokenRoute(films)
        self._language = films.bundle.language
        self._chooser = Chooser(films.responder.find)

    def answer(self, key: str, context: str, *, until: Sequence[str] = (), max_tokens: int | None = None) -> str:
        """The answer to a prompt about the film of `key`, up to one of `until` and at most `max_tokens` long.

        Raises SourceError if the film cannot be shown.
        """
        asked = read_prompt(context)
        if asked.choices is not None:
            return asked.choices.letters[self.choose(key, asked.choices)]
        question = shortened(asked.question, self._language.tokenize)
        if not key:
            text = self.tokens.ask_blind([question])[0]
        elif self.route == "tokens":
            text = self.tokens.ask(key, [question])[0]
        else:
            text = self.films.open(key).ask(question).answer
        return self._cut(brief(text) if asked.brief else text, until, max_tokens)

    def choose(self, key: str, choices: Choices) -> int:
        """The number of the option that fits the film of `key` best. Raises SourceError if it cannot be shown."""
        if not key:
            return self._chooser.choose(choices, [])
        if self.route == "tokens":
            return self._chooser.choose(choices, self.tokens.pairs(key))
        entries = self.films.open(key).entries
        return self._chooser.choose(choices, self.tokens.pairs(key), entries)

    def likelihood(self, key: str, context: str, continuation: str) -> tuple[float, bool]:
        """The log-probability of a continuation behind the film's tokens and the prompt, and whether it is greedy."""
        suffix = question_suffix(shortened(context, self._language.tokenize)) if context.strip() else ""
        if key:
            segments: list[Segment] = [mark_text(0.0), *self.tokens.pairs(key)]
            memory = embed_segments(self._language, segments)
            prompt: Tensor = torch.cat([memory, self._language.embed_text(suffix)]) if suffix else memory
        else:
            # Without anything before it a text is weighed behind a line break.
            prompt = self._language.embed_text(suffix.lstrip("\n") or "\n")
        found = likelihoods(self._language, prompt, [continuation])[0]
        return found.total, found.greedy

    def _cut(self, text: str, until: Sequence[str], max_tokens: int | None) -> str:
        for stop in until:
            text = text.split(stop, 1)[0] if stop else text
        ids = self._language.tokenize(text)
        if max_tokens is not None and len(ids) > max_tokens:
            text = self._language.detokenize(ids[:max_tokens])
        return text.strip()
