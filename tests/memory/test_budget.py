from __future__ import annotations

import pytest

from llama_vid.errors import ConfigError
from llama_vid.memory.budget import Budget


def test_the_usual_context_leaves_an_hour_of_frames() -> None:
    budget = Budget.for_context(8192)
    assert budget.frames_tokens == 7200
    assert budget.pairs == 3600
    assert budget.mark_count == 60


@pytest.mark.parametrize("context", [700, 701, 828, 1024, 2048, 4096, 8192, 8200, 32768])
def test_the_shares_never_exceed_the_context(context: int) -> None:
    budget = Budget.for_context(context)
    taken = budget.prompt + budget.marks + budget.evidence + budget.answer + budget.frames_tokens
    assert taken <= context
    assert context - taken < 7 + 2  # no room is wasted but what is too small for a mark and a pair
    assert budget.mark_count >= budget.pairs / 60


def test_too_small_a_context_says_how_much_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"512 tokens is too small.* set context_tokens to 699 or more"):
        Budget.for_context(512)
    assert Budget.for_context(699).pairs == 60


def test_other_shares_change_the_rest() -> None:
    assert Budget.for_context(8192, answer_tokens=1024).frames_tokens < 7200
    assert Budget.for_context(4096, evidence_frames=0).pairs > Budget.for_context(4096).pairs
