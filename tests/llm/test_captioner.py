"""Beam search with what was read kept: the same sentences as reading everything anew for every token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llama_vid.llm.captioner import LONGEST, continued
from llama_vid.llm.language import LanguageModel
from tests.llm.conftest import WIDTH


def searched(model: LanguageModel, prompt: Tensor, beams: int) -> str:
    """Beam search over one prompt, the plain way: (score, tokens, over) of each hypothesis."""
    found: list[tuple[float, list[int], bool]] = [(0.0, [], False)]
    end = min(model.eos)
    while not found[0][2] and len(found[0][1]) < LONGEST:
        grown = []
        for score, ids, over in found:
            if over:
                grown.append((score, [*ids, end], True))
                continue
            x = torch.cat([prompt, model.embed(ids)]) if ids else prompt
            with torch.inference_mode():
                scores = model.logits(model.forward(x)[-1]).log_softmax(-1)
            for value, token in zip(*(part.tolist() for part in scores.topk(beams)), strict=True):
                grown.append((score + value, [*ids, token], token in model.eos))
        found = sorted(grown, key=lambda item: -item[0])[:beams]
    kept = []
    for token in found[0][1]:
        if model.is_control(token):
            break
        kept.append(token)
    return " ".join(model.detokenize(kept).split())


@pytest.mark.parametrize("beams", [1, 3])
def test_the_same_as_reading_anew(tiny: LanguageModel, beams: int) -> None:
    prompts = list(torch.randn(5, 7, WIDTH, generator=torch.Generator().manual_seed(3)))
    said = continued(tiny, prompts, beams=beams)
    assert len(set(said)) > 1
    alone = [continued(tiny, [prompt], beams=beams)[0] for prompt in prompts]
    assert said == alone, "side by side or alone is the same"
    if beams == 1:
        assert said == [searched(tiny, prompt, beams) for prompt in prompts]
    else:
        assert alone[0] == searched(tiny, prompts[0], beams)
