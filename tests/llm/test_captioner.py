"""Captions for many memories at once: each the sentence that its own proposals agree on."""

from __future__ import annotations

import torch

from llama_vid.llm.agreement import agreed
from llama_vid.llm.captioner import BATCH, continued
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.proposals import proposing
from llama_vid.llm.steps import finished
from tests.llm.conftest import WIDTH


def test_each_prompt_gets_what_its_own_proposals_agree_on(tiny: LanguageModel) -> None:
    prompts = torch.randn(BATCH + 2, 7, WIDTH, generator=torch.Generator().manual_seed(3))
    said = continued(tiny, list(prompts), draws=4)
    assert len(said) == len(prompts)
    assert len(set(said)) > 1
    together = finished(proposing(tiny, prompts[BATCH:], draws=4))
    assert said[BATCH:] == [agreed(proposals) for proposals in together], "the rest, in its order"


def test_without_draws_it_is_the_greedy_sentence(tiny: LanguageModel) -> None:
    prompts = list(torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(5)))
    greedy = [finished(proposing(tiny, prompt[None], draws=0))[0][0].text for prompt in prompts]
    assert continued(tiny, prompts, draws=0) == greedy
