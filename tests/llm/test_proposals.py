"""Sentences proposed side by side: what is said, how often, and that company changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llama_vid.llm.language import LanguageModel
from llama_vid.llm.proposals import LONGEST, Proposal, proposing
from llama_vid.llm.steps import finished
from tests.llm.conftest import WIDTH

DRAWS = 12


def prompts(count: int) -> Tensor:
    return torch.randn(count, 7, WIDTH, generator=torch.Generator().manual_seed(3))


def greedy(model: LanguageModel, prompt: Tensor) -> str:
    """The likeliest token after everything before it, read anew each time."""
    ids: list[int] = []
    while len(ids) < LONGEST:
        x = torch.cat([prompt, model.embed(ids)]) if ids else prompt
        with torch.inference_mode():
            token = int(model.logits(model.forward(x)[-1]).argmax())
        if model.is_control(token):
            break
        ids.append(token)
    return " ".join(model.detokenize(ids).split())


def test_the_first_is_the_greedy_one_and_company_changes_nothing(tiny: LanguageModel) -> None:
    asked = prompts(3)
    together = finished(proposing(tiny, asked, draws=DRAWS, temperature=1.0))
    for prompt, found in zip(asked, together, strict=True):
        assert found[0].text == greedy(tiny, prompt)
        assert len({proposal.text for proposal in found}) == len(found) > 2
        assert sum(proposal.share for proposal in found) == pytest.approx(1.0)
        alone = finished(proposing(tiny, prompt[None], draws=DRAWS, temperature=1.0))[0]
        assert alone == finished(proposing(tiny, prompt[None], draws=DRAWS, temperature=1.0))[0], "the same every time"
        # Rounding differs side by side, which later tokens of a random model hang on; the beginnings are the same.
        assert sorted(p.text[:1] for p in found) == sorted(p.text[:1] for p in alone)


def test_cold_draws_all_say_the_likeliest(tiny: LanguageModel) -> None:
    asked = prompts(1)
    (found,) = finished(proposing(tiny, asked, draws=DRAWS, temperature=1e-4))
    assert found == [Proposal(greedy(tiny, asked[0]), 1.0)]
    assert finished(proposing(tiny, asked, draws=0))[0] == found


def test_draws_come_as_often_as_the_model_is_sure(tiny: LanguageModel) -> None:
    asked, draws = prompts(1), 400
    (found,) = finished(proposing(tiny, asked, draws=draws, temperature=1.0))
    with torch.inference_mode():
        top = tiny.logits(tiny.forward(asked[0])[-1]).topk(32)
    wanted = dict(zip(top.indices.tolist(), top.values.softmax(-1).tolist(), strict=True))
    for token, share in list(wanted.items())[:3]:
        start = tiny.detokenize([token]).strip()
        if sum(tiny.detokenize([other]).strip().startswith(start) for other in wanted) > 1 or not start:
            continue
        said = sum(proposal.share for proposal in found if proposal.text.startswith(start))
        assert said == pytest.approx(share, abs=0.02)


def test_other_work_goes_between_the_tokens(tiny: LanguageModel) -> None:
    steps = sum(1 for _ in proposing(tiny, prompts(2), draws=3))
    assert 1 <= steps < LONGEST
