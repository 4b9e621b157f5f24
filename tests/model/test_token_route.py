"""The token route: what reaches the language model, for all questions of a film that is opened once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llama_vid.llm.calibration import Calibration, logistic
from llama_vid.llm.evidence import READ, Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.prompts import question_suffix
from llama_vid.llm.session import embed_segments
from llama_vid.memory.entry import MemoryEntry
from llama_vid.token_route import TokenRoute
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.conftest import WIDTH, save_tiny

CALIBRATION = Calibration(tokens_bias=0.25)
QUESTIONS = ["Is there a dog?", "What is seen?"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A tiny random Llama in float32."""
    return LanguageModel.load(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", dtype="fp32")


@pytest.fixture(autouse=True)
def yes_and_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """One token a byte: " Yes" and " No" begin alike, so their second bytes are compared."""
    monkeypatch.setattr("llama_vid.llm.evidence.yes_no_ids", lambda _tokenize: (ord("Y"), ord("N")))


def pairs(count: int) -> list[TokenPair]:
    generator = torch.Generator().manual_seed(count)
    made = [torch.randn(2, WIDTH, generator=generator) for _ in range(count)]
    return [TokenPair(context, motion, 0.5, held=False, cut=False) for context, motion in made]


class Model:
    """Opens `a` with 20 frames and `b` with 3; the last frame alone is one of its own."""

    def __init__(self, language: LanguageModel) -> None:
        find = Finder(language, None, CALIBRATION)  # type: ignore[arg-type]  # the route asks no scorer
        compressor = SimpleNamespace(still_token=torch.full((WIDTH,), 0.5))
        self.bundle: Any = SimpleNamespace(language=language, calibration=CALIBRATION, compressor=compressor)
        self.responder: Any = SimpleNamespace(find=find)
        self.opened: list[tuple[str, bool]] = []

    def open(self, path: str, /, *, last_frame_only: bool = False) -> Any:
        self.opened.append((path, last_frame_only))
        shown = pairs(1 if last_frame_only else {"a": 20, "b": 3}[path])
        return SimpleNamespace(entries=[MemoryEntry(s, s + 1.0, p, p.context) for s, p in enumerate(shown)])


def written_by(language: LanguageModel, prompt: torch.Tensor, length: int) -> str:
    """Greedy decoding, the slow way."""
    ids: list[int] = []
    with torch.inference_mode():
        while len(ids) < length:
            ids.append(int(language.logits(language.forward(torch.cat([prompt, language.embed(ids)]))[-1]).argmax()))
    return " ".join(language.detokenize(ids).split())


def test_up_to_eight_frames_evenly_spread(tiny: LanguageModel) -> None:
    route = TokenRoute(Model(tiny))
    kept = route.pairs("a")
    assert len(kept) <= READ
    assert [float(pair.context[0]) for pair in kept] == [float(pair.context[0]) for pair in pairs(20)[::3]]
    assert len(route.pairs("b")) == 3


def test_answers_are_what_the_language_model_writes(tiny: LanguageModel) -> None:
    model = Model(tiny)
    route = TokenRoute(model)
    said = route.ask("b", QUESTIONS)
    for question, answer in zip(QUESTIONS, said, strict=True):
        prompt = torch.cat([embed_segments(tiny, ["[0 min]", *pairs(3)]), tiny.embed_text(question_suffix(question))])
        assert written_by(tiny, prompt, 6).startswith(answer[:4])
        assert answer
    assert said[0] != said[1]
    assert route.ask("b", QUESTIONS[1:]) == said[1:], "decoding side by side changes nothing"
    blind = route.ask_blind(QUESTIONS)
    assert written_by(tiny, tiny.embed_text(question_suffix(QUESTIONS[0]).lstrip("\n")), 6).startswith(blind[0][:4])
    assert blind != said


def test_yes_no_probabilities(tiny: LanguageModel) -> None:
    model = Model(tiny)
    route = TokenRoute(model)
    margin = model.responder.find.margin(pairs(3), QUESTIONS[0])
    assert route.yesno("b", QUESTIONS)[0] == pytest.approx(logistic(margin - CALIBRATION.tokens_bias))
    assert route.yesno_blind(QUESTIONS)[0] == pytest.approx(logistic(model.responder.find.margin([], QUESTIONS[0])))


def test_a_film_is_opened_once(tiny: LanguageModel) -> None:
    model = Model(tiny)
    route = TokenRoute(model)
    route.yesno("a", QUESTIONS)
    route.ask("a", QUESTIONS, drop="motion")
    route.yesno("a", QUESTIONS, last_frame_only=True)
    assert model.opened == [("a", False), ("a", True)]


def test_what_is_dropped(tiny: LanguageModel) -> None:
    model = Model(tiny)
    route = TokenRoute(model)
    still = model.bundle.compressor.still_token
    assert route.pairs("b", drop="motion") == [replace(pair, motion=still) for pair in route.pairs("b")]
    assert all(not pair.context.any() for pair in route.pairs("b", drop="context"))
    route.average_over(["a", "b"])
    one, other = (torch.stack([pair.context for pair in route.pairs(path)]).mean(0) for path in ("a", "b"))
    dropped = route.pairs("b", drop="context")
    torch.testing.assert_close(dropped[2].context, (one + other) / 2)
    assert torch.equal(dropped[2].motion, route.pairs("b")[2].motion)
    assert route.yesno("b", QUESTIONS, drop="context") != route.yesno("b", QUESTIONS)
    with pytest.raises(ValueError, match="motion, context or nothing"):
        route.yesno("b", QUESTIONS, drop="both")


def test_a_film_that_changed_is_opened_again(tiny: LanguageModel, tmp_path: Path) -> None:
    model = Model(tiny)
    file = tmp_path / "film.mp4"
    file.write_bytes(b"one")
    model.open = lambda path, *, last_frame_only=False: Model.open(model, "b", last_frame_only=last_frame_only)  # type: ignore[method-assign, misc]
    route = TokenRoute(model)
    route.pairs(str(file))
    os.utime(file, ns=(1, 1))
    route.pairs(str(file))
    assert len(model.opened) == 2
