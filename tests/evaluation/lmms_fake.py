"""The part of lmms-eval 0.7.3 that a model meets, and a scripted model for it.

`api/model.py` (the base class and its cache hook), `api/instance.py` and `api/task.py` (what a request carries), as far
as `evaluation/lmms` touches them. `test_lmms_end_to_end.py` holds this against lmms-eval itself where it is installed.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import normalize

from evaluation.lmms.films import Films
from llama_vid.errors import SourceError
from llama_vid.llm.answer import Answer
from llama_vid.llm.language import LanguageModel
from llama_vid.memory.entry import MemoryEntry
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.pair import TokenPair
from tests.conftest import read_second
from tests.evaluation.lmms_mini import Mini

VERSION = "0.7.3"
#: What tasks without generation arguments of their own pass.
GENERATION = {"until": ["\n\n"], "do_sample": False}


class CacheHook:
    """Takes what was answered; nothing is cached by default."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any, Any]] = []

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        self.taken.append((attr, req, res))


class FakeLmms(abc.ABC):
    """`lmms_eval.api.model.lmms`."""

    is_simple = True

    def __init__(self) -> None:
        self._rank = 0
        self._world_size = 1
        self.cache_hook = CacheHook()
        self.task_dict: dict[str, dict[str, Any]] = {}

    @abc.abstractmethod
    def loglikelihood(self, requests: Any) -> Any: ...

    @abc.abstractmethod
    def generate_until(self, requests: Any) -> Any: ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests: Any) -> Any: ...

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._world_size


@dataclass
class FakeInstance:
    """`lmms_eval.api.instance.Instance`: `args` is what a model reads."""

    request_type: str
    arguments: tuple[Any, ...]
    idx: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def args(self) -> tuple[Any, ...]:
        return self.arguments


def modules() -> dict[str, ModuleType]:
    """What stands for lmms-eval in `sys.modules`."""
    package, api, model = (ModuleType(name) for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model"))
    model.lmms = FakeLmms  # type: ignore[attr-defined]
    return {"lmms_eval": package, "lmms_eval.api": api, "lmms_eval.api.model": model}


def requests(model: Any, mini: Mini, home: Path) -> list[FakeInstance]:
    """A task's requests to a model, as `Task.construct_requests` makes them; the model gets the documents."""

    def shown(doc: dict[str, Any]) -> list[str]:
        assert doc in mini.rows
        return [str(home / mini.video)]

    model.task_dict[mini.task] = {mini.split: list(mini.rows)}
    return [
        FakeInstance(
            "generate_until", (prompt, copy.deepcopy(GENERATION), shown, number, mini.task, mini.split), number
        )
        for number, prompt in enumerate(mini.prompts)
    ]


@dataclass
class ScriptedFilm:
    """A film whose answers are scripted; "how many" is answered with the seconds that were painted into its frames."""

    path: str
    seen: list[int]
    entries: tuple[MemoryEntry, ...]

    def ask(self, question: str) -> Answer:
        lower = question.lower()
        if "how many" in lower:
            return Answer(" ".join(map(str, self.seen)))
        if lower.startswith("is there a dog"):
            return Answer("No, I have not seen a dog.")
        return Answer(f"Asked: {question}")


class ScriptedModel:
    """Decodes real files, and finds in pictures the options that `seen` names."""

    def __init__(self, language: LanguageModel, seen: Sequence[str]) -> None:
        self.opened: list[tuple[str, float]] = []
        scorer = SimpleNamespace(
            plain=str, score=lambda text, images: torch.full((len(images),), 100.0 * (text in seen))
        )
        calibration = SimpleNamespace(tokens_bias=0.0, probability=lambda *_: 0.9)
        find = SimpleNamespace(
            language=language, scorer=scorer, calibration=calibration, margin=lambda pairs, _: float(len(pairs))
        )
        compressor = SimpleNamespace(still_token=torch.zeros(language.width))
        self.bundle = SimpleNamespace(language=language, compressor=compressor, calibration=calibration)
        self.responder = SimpleNamespace(find=find)

    def open(self, path: str, *, fps: float = 1.0) -> ScriptedFilm:
        self.opened.append((path, fps))
        if not Path(path).is_file():
            raise SourceError(f"{path} is not there")
        return self.take(list(FileSource(path, fps=fps)), name=path)

    def take(self, frames: Sequence[Frame], *, name: str = "pictures") -> ScriptedFilm:
        generator = torch.Generator().manual_seed(0)
        entries = []
        for frame in frames:
            context, motion = torch.randn(2, self.bundle.language.width, generator=generator).unbind()
            pair = TokenPair(context, motion, 0.0, held=False, cut=frame.gap)
            entries.append(MemoryEntry(frame.seconds, frame.seconds + 1, pair, normalize(context, dim=0)))
        return ScriptedFilm(name, [read_second(frame.image) for frame in frames], tuple(entries))


def scripted_films(model: ScriptedModel, **settings: Any) -> Films:
    """The films of a scripted model."""
    return Films(model, **settings)  # type: ignore[arg-type]
