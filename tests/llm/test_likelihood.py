"""Texts are weighed together as they would be one by one, token after token."""

from __future__ import annotations

import pytest
import torch

from llama_vid.errors import QuestionError
from llama_vid.llm import likelihood
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.likelihood import Likelihood, likelihoods

TEXTS = (" a cat", " Yes", "", " something that is longer than the others")


def step_by_step(model: LanguageModel, prompt: torch.Tensor, text: str) -> tuple[float, bool]:
    """One forward a token."""
    total, greedy, x = 0.0, True, prompt
    with torch.inference_mode():
        for token in model.tokenize(text):
            scores = model.logits(model.forward(x)[-1]).log_softmax(-1)
            total += float(scores[token])
            greedy = greedy and int(scores.argmax()) == token
            x = torch.cat([x, model.embed([token])])
    return total, greedy


def test_as_one_token_after_another(tiny: LanguageModel) -> None:
    prompt = tiny.embed_text("What is it?")
    found = likelihoods(tiny, prompt, TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        total, greedy = step_by_step(tiny, prompt, text)
        assert one.total == pytest.approx(total, abs=1e-3), text
        assert (one.greedy, one.tokens) == (greedy, len(tiny.tokenize(text))), text
    assert found[0].mean == pytest.approx(found[0].total / 6)
    assert found[2] == Likelihood(0.0, 0, True)
    assert found[2].mean == 0.0


def test_greedy_is_what_decoding_would_write(tiny: LanguageModel) -> None:
    for word in "abcdefghijklmnopqrstuvwxyz0123456789":
        prompt = tiny.embed_text(word)
        with torch.inference_mode():
            best = int(tiny.logits(tiny.forward(prompt)[-1]).argmax())
        text = tiny.detokenize([best])
        if tiny.tokenize(text) == [best]:  # a byte that is a letter by itself
            break
    else:
        pytest.fail("no prompt after which the tiny model writes a plain character")
    other = "z" if text != "z" else "y"
    assert [one.greedy for one in likelihoods(tiny, prompt, [text, other])] == [True, False]


def test_parts_make_no_difference(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = tiny.embed_text("What is it?")
    together = likelihoods(tiny, prompt, TEXTS)
    monkeypatch.setattr(likelihood, "AT_ONCE", 1)
    for one, other in zip(together, likelihoods(tiny, prompt, TEXTS), strict=True):
        assert one.total == pytest.approx(other.total, abs=1e-3)
        assert one.greedy == other.greedy


def test_no_texts_are_no_likelihoods(tiny: LanguageModel) -> None:
    assert likelihoods(tiny, tiny.embed_text("x"), []) == []


def test_too_long_says_how_long(tiny: LanguageModel) -> None:
    with pytest.raises(QuestionError, match=r"2049 tokens.*2048"):
        likelihoods(tiny, tiny.embed_text("x"), ["y" * 2048])
