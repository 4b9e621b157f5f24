"""What vLLM's prefix cache spares of the prompts of a memory that grows: nearly all, but after a consolidation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from llama_vid.llm import vllm_context
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import layout
from llama_vid.llm.prompt_rows import PromptRows, cached_tokens, common_rows
from llama_vid.llm.session import embed_segments
from llama_vid.llm.vllm_context import VllmContext
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from tests.llm.conftest import MakeEntries
from tests.llm.vllm_fixtures import Attach, attach, fake
from tests.peers.vllm import FakeVllm

__all__ = ["attach", "fake"]

BLOCK = 16


def test_rows_are_those_of_the_layout(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    rows, entries = PromptRows(tiny), make_entries(200)
    for count in (0, 1, 60, 61, 200, 130, 130):
        segments = layout(entries[:count])
        rows.lay_out(segments)
        assert torch.equal(rows.rows, embed_segments(tiny, segments))
        assert len(rows) == len(rows.rows)


def test_common_and_cached() -> None:
    one = torch.arange(80.0)[:, None].repeat(1, 3)
    other = one.clone()
    assert common_rows(one, other[:50]) == 50
    other[33, 2] += 1
    assert common_rows(one, other) == 33
    assert common_rows(one, other[:0]) == 0
    assert cached_tokens(16, 33, 80) == 32
    assert cached_tokens(16, 80, 80) == 64  # the last token is computed, and with it its block
    assert cached_tokens(16, 80, 81) == 80


def test_a_question_reads_only_what_is_new(attach: Attach, make_entries: MakeEntries, fake: FakeVllm) -> None:
    language = attach()
    context, entries = VllmContext(language), make_entries(160)
    suffix = language.embed_text("\nQuestion: x\nAnswer:")
    language.line.served()
    before = 0
    for count in (100, 101, 103, 130, 160):
        for again in (False, True):
            context.sync(tuple(entries[:count]))
            list(context.generate(suffix, max_tokens=1))
            known = context.length + len(suffix) - 1 if again else before
            assert fake.cached[-1] == known // BLOCK * BLOCK
            assert language.line.cached == fake.cached[-1]
        before = context.length


def test_a_still_scene_changes_nothing(attach: Attach, make_entries: MakeEntries, fake: FakeVllm) -> None:
    language = attach()
    context, entries = VllmContext(language), make_entries(40)
    suffix = language.embed_text("x")
    for end in (40.0, 41.0, 600.0):
        context.sync((*entries[:-1], replace(entries[-1], end=end)))
        list(context.generate(suffix, max_tokens=1))
    assert fake.cached[-2:] == [len(context._rows) // BLOCK * BLOCK] * 2


def test_the_cache_as_we_count_it(attach: Attach, make_entries: MakeEntries, fake: FakeVllm) -> None:
    """A bank that is full: what the server spares is what two prompts have in common, in whole blocks."""
    language = attach()
    context, bank = VllmContext(language), MemoryBank(Budget.for_context(900))
    suffix = language.embed_text("x")
    language.line.served()
    fake.cached.clear()
    sent, counted, changed = torch.zeros(0, language.width), [], []
    for number, entry in enumerate(make_entries(300)):
        bank.append(entry)
        if number % 10 == 9:
            context.sync(bank.entries)
            list(context.generate(suffix, max_tokens=1))
            rows = torch.cat([context._rows.rows, suffix])
            counted.append(cached_tokens(BLOCK, common_rows(sent, rows), len(rows)))
            changed.append(bank.version)
            sent = rows
    spared = fake.cached
    assert all(found >= count for found, count in zip(spared, counted, strict=True))
    assert bank.version >= 2
    fresh = [number for number in range(1, len(changed)) if changed[number] == changed[number - 1]]
    assert min(spared[number] / spared[number - 1] for number in fresh if spared[number - 1]) >= 1


def test_after_a_consolidation_the_layout_is_sent_ahead(
    attach: Attach, make_entries: MakeEntries, fake: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_context, "AHEAD_TOKENS", 200)
    language = attach()
    context, entries, others = VllmContext(language), make_entries(120), make_entries(120, seed=1)
    suffix = language.embed_text("x")
    language.line.served()
    fake.cached.clear()
    assert list(context.syncing(tuple(entries[:80]))) == []  # not so much that it would be worth it
    assert fake.cached == []
    list(context.generate(suffix, max_tokens=1))
    assert list(context.syncing(tuple(entries))) == []  # most of it is known
    assert fake.cached == [0]
    assert list(context.syncing(tuple(others)))  # all is new
    assert fake.cached == [0, 0]
    list(context.generate(suffix, max_tokens=1))
    assert fake.cached[-1] == context.length // BLOCK * BLOCK
    fake.trouble = ["500"]
    assert list(context.syncing(tuple(make_entries(120, seed=2)))) is not None  # idle work fails in silence
    assert language.line.down is not None
    assert list(context.syncing(tuple(make_entries(120, seed=3)))) == []
