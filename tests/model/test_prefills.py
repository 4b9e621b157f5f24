"""Two who bring one KV cache up to date at the same time: a question, and the frames that follow."""

from __future__ import annotations

import pytest
import torch

from llama_vid.llm.language import LanguageModel
from llama_vid.llm.session import BATCH_TOKENS, VideoContext
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.conftest import WIDTH, save_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A tiny random Llama in float32."""
    return LanguageModel.load(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", dtype="fp32")


def entries(count: int) -> list[MemoryEntry]:
    """Random pairs, one a second."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for second in range(count):
        context, motion = torch.randn(2, WIDTH, generator=generator).unbind()
        pair = TokenPair(context, motion, 0.0, held=False, cut=False)
        made.append(MemoryEntry(second, second + 1.0, pair, context))
    return made


def test_a_question_overtaken_by_frames_reads_nothing_twice(tiny: LanguageModel) -> None:
    memory = entries(2 * BATCH_TOKENS)
    asked, later = memory[:-5], memory
    one, alone = VideoContext(tiny), VideoContext(tiny)
    question = one.syncing(asked)
    next(question)  # a first batch; now the frames' turn
    one.sync(later)
    for _ in question:
        pass
    alone.sync(asked)
    assert one.length == alone.length
    suffix = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(one.logits(suffix), alone.logits(suffix), atol=1e-4, rtol=1e-4)


def test_what_was_forgotten_is_not_read_on(tiny: LanguageModel) -> None:
    memory = entries(2 * BATCH_TOKENS)
    one, alone = VideoContext(tiny), VideoContext(tiny)
    idle, question = one.syncing(memory), one.catching_up(memory)
    next(idle)
    next(question)
    one.forget()
    assert one.length == 0
    assert list(idle) == list(question) == []  # neither goes on with what was wanted before
    assert one.length == 0
    one.sync(memory[200:])
    alone.sync(memory[200:])
    assert one.length == alone.length
    suffix = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(one.logits(suffix), alone.logits(suffix), atol=1e-4, rtol=1e-4)


def test_rebuilds_at_the_same_time_both_end_well(tiny: LanguageModel) -> None:
    memory = entries(2 * BATCH_TOKENS)
    one = VideoContext(tiny)
    one.sync(memory)
    changed = memory[5:]
    first, second = one.syncing(changed), one.syncing(changed)
    while any([next(first, None) is not None, next(second, None) is not None]):
        pass
    alone = VideoContext(tiny)
    alone.sync(changed)
    assert one.length == alone.length
    suffix = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(one.logits(suffix), alone.logits(suffix), atol=1e-4, rtol=1e-4)
