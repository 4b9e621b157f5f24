"""Memory that changes under the questions: what is read, what is not read again, and that it is read right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llama_vid.llm import reading
from llama_vid.llm.cache import AttentionCache
from llama_vid.llm.decoding import Spelling
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import Segment, layout
from llama_vid.llm.session import BATCH_TOKENS, VideoContext
from llama_vid.memory.consolidation import oldest_first
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.conftest import WIDTH, MakeEntries


def scores(model: LanguageModel, segments: Sequence[Segment], suffix: Tensor) -> Tensor:
    """The next token's scores after `segments` and a suffix, by transformers' own forward with nothing cached."""
    parts = [
        model.embed_text(segment) if isinstance(segment, str) else torch.stack((segment.context, segment.motion))
        for segment in segments
    ]
    with torch.no_grad():
        logits: Tensor = model.module(inputs_embeds=torch.cat([*parts, suffix])[None]).logits[0, -1]
    return logits


def assert_reads(context: VideoContext, model: LanguageModel, segments: Sequence[Segment]) -> None:
    suffix = model.embed_text("\nCaption:")
    torch.testing.assert_close(context.logits(suffix), scores(model, segments, suffix), rtol=2e-4, atol=2e-4)


@pytest.fixture
def read(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens of memory each forward reads from now on."""
    counts: list[int] = []
    forward = tiny.forward

    def counted(x: Tensor, cache: AttentionCache | None = None, *, positions: Tensor | None = None) -> Tensor:
        if positions is None:
            counts.append(len(x))
        return forward(x, cache, positions=positions)

    monkeypatch.setattr(tiny, "forward", counted)
    return counts


def test_a_question_first_reads_everything(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(400)
    context = VideoContext(tiny)
    left = list(context.catching_up(entries))
    assert left == sorted(left, reverse=True)
    assert len(left) == 3
    assert_reads(context, tiny, layout(entries))


def test_a_question_does_not_wait_for_a_rebuild(
    tiny: LanguageModel, make_entries: MakeEntries, read: list[int]
) -> None:
    entries = make_entries(400)
    context = VideoContext(tiny)
    context.sync(entries)
    later = make_entries(3, start=400, seed=8)
    fewer = [*oldest_first(entries, 300, recent_seconds=30), *later]
    read.clear()
    assert list(context.catching_up(fewer)) == []
    assert read == [6]
    old = [*layout(entries), *(entry.pair for entry in later)]
    assert_reads(context, tiny, old)
    assert list(context.catching_up(fewer)) == []  # nothing new
    assert read == [6]
    for _ in context.syncing(fewer):  # idle time
        assert_reads(context, tiny, old)
    assert_reads(context, tiny, layout(fewer))
    assert list(context.catching_up(fewer[:-1])) == []  # overtaken: all of it is there, and more
    assert_reads(context, tiny, layout(fewer))


def test_marks_between_newer_entries_are_read_too(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(100)
    context = VideoContext(tiny)
    context.sync(entries)
    changed = [replace(entries[0], pair=make_entries(1, seed=3)[0].pair), *entries[1:], *make_entries(50, start=100)]
    list(context.catching_up(changed))
    assert_reads(context, tiny, [*layout(entries), *layout(changed)[len(layout(entries)) :]])
    assert "[2 min]" in layout(changed)[len(layout(entries)) :]


def test_what_is_read_behind_an_old_layout_leaves_the_reserve(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    context = VideoContext(tiny, reserve=1000)
    entries = make_entries(480)
    context.sync(entries)
    assert context.length < tiny.context - 1000
    newer = make_entries(300, start=480, seed=1)
    list(context.catching_up([*entries[1:], *newer]))
    assert tiny.context - 1000 - 8 <= context.length <= tiny.context - 1000
    assert list(context.catching_up([*entries[1:], *newer])) == []


def test_a_rebuild_ends_though_frames_never_stop(
    tiny: LanguageModel, make_entries: MakeEntries, read: list[int]
) -> None:
    old, entries = make_entries(500), make_entries(500, seed=2)
    context = VideoContext(tiny)
    context.sync(old)
    read.clear()
    rounds = 0
    while context._front is None or not context._front.begins(context._wanted(entries)):
        rebuild = context.syncing(entries)  # one batch, then the frames' turn
        next(rebuild, None)
        rebuild.close()
        rounds += 1
        entries = [*entries, *make_entries(1, start=500 + rounds, seed=rounds)]
    context.sync(entries)
    assert rounds <= 6
    assert max(read) <= BATCH_TOKENS
    assert sum(read) == context.length - len(tiny.tokenize("[0 min]"))  # nothing twice; the first mark stayed
    assert_reads(context, tiny, layout(entries))


def test_a_rebuild_shares_the_pages_of_what_did_not_change(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(600)
    context = VideoContext(tiny)
    context.sync(entries)
    bytes_before, used = context.cached_bytes, tiny.pool.used
    changed = [*entries[:400], *make_entries(200, start=400, seed=3)]
    steps = context.syncing(changed)
    next(steps)
    assert tiny.pool.used - used <= 3
    assert context.cached_bytes < 2 * bytes_before
    for _ in steps:
        pass
    assert_reads(context, tiny, layout(changed))
    assert context.cached_bytes == bytes_before


def test_a_still_scene_that_goes_on_costs_nothing(
    tiny: LanguageModel, make_entries: MakeEntries, read: list[int]
) -> None:
    entries = make_entries(30)
    context = VideoContext(tiny)
    context.sync(entries)
    read.clear()
    for second in range(31, 100):
        grown = [*entries[:-1], replace(entries[-1], end=float(second), frames=second - 28)]
        context.sync(grown)
        assert list(context.catching_up(grown)) == []
    assert read == []


def test_an_answer_across_appends_and_a_swap_is_the_one_without(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(200)
    suffix = tiny.embed_text("\nQuestion: What?\nAnswer:")
    calm = VideoContext(tiny)
    calm.sync(entries)
    expected = "".join(calm.generate(suffix, max_tokens=40))
    context = VideoContext(tiny)
    context.sync(entries)
    answer = context.generate(suffix, max_tokens=40)
    text = next(answer)
    for count in range(1, 61):
        context.sync([*entries, *make_entries(count, start=200, seed=7)])
        if count % 4 == 0:
            text += next(answer, "")
    context.sync(make_entries(230, seed=6))
    assert text + "".join(answer) == expected
    assert len(expected) > 10


def greedy(model: LanguageModel, segments: Sequence[Segment], suffix: Tensor, count: int) -> str:
    """The first `count` tokens of the answer, with nothing cached; too few for a circle."""
    ids: list[int] = []
    while len(ids) < count:
        tail = torch.cat([suffix, model.embed(ids)]) if ids else suffix
        token = int(scores(model, segments, tail).argmax())
        if model.is_control(token):
            break
        ids.append(token)
    spelling = Spelling(model)
    return "".join(spelling.spell(token) for token in ids)


def pair(seed: int) -> TokenPair:
    context, motion = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(seed)).unbind()
    return TokenPair(context, motion, 0.0, held=False, cut=False)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_history_is_read_as_if_nothing_were_cached(tiny: LanguageModel, data: st.DataObject) -> None:
    """Appends, folds, growing entries, questions, and generators closed halfway; pages end within all of them."""
    context = VideoContext(tiny)
    entries: list[MemoryEntry] = []
    seeds = iter(range(1, 10_000))

    def append(count: int) -> None:
        for _ in range(count):
            start = entries[-1].end if entries else 0.0
            one = pair(next(seeds))
            entries.append(MemoryEntry(start, start + 1, one, torch.nn.functional.normalize(one.context, dim=0)))

    append(data.draw(st.sampled_from([0, 5, 110, 125])))
    suffix = tiny.embed_text("\nAnswer:")
    answers: list[tuple[Iterator[str], list[str], str]] = []  # under way, what came, what must come
    with mock.patch.object(reading, "BATCH_TOKENS", 40):
        for _ in range(data.draw(st.integers(2, 14))):
            what = data.draw(
                st.sampled_from(["append", "consolidate", "extend", "release", "sync", "syncing", "catching", "ask"])
            )
            if what == "append":
                append(data.draw(st.integers(1, 20)))
            elif what == "consolidate" and len(entries) > 4:
                entries = list(oldest_first(entries, data.draw(st.integers(3, len(entries) - 1)), recent_seconds=2))
            elif what == "extend" and entries:
                entries[-1] = replace(entries[-1], end=entries[-1].end + 30, frames=entries[-1].frames + 30)
            elif what == "release":
                context.release()
            elif what == "sync":
                context.sync(entries)
                assert_reads(context, tiny, layout(entries))
            elif what == "syncing":
                steps = context.syncing(entries)
                for _ in range(data.draw(st.integers(0, 3))):
                    next(steps, None)
                steps.close()
            elif what == "catching":
                list(context.catching_up(entries))
                if entries and context._front is not None:
                    assert context._front.segments[-1] is entries[-1].pair or context._front.until > entries[-1].start
            elif what == "ask":
                segments = list(context._front.segments) if context._front is not None else []
                answer = context.generate(suffix, max_tokens=3)
                answers.append((answer, [], greedy(tiny, segments, suffix, 3)))
            for answer, said, _ in answers:
                if data.draw(st.booleans()):
                    said.append(next(answer, ""))
            front = context._front
            assert_reads(context, tiny, front.segments if front is not None else [])
        context.sync(entries)
        assert_reads(context, tiny, layout(entries))
        for answer, said, expected in answers:
            assert "".join([*said, *answer]) == expected
        assert not context.busy
