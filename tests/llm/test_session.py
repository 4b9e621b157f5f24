from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import torch
from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.cache import AttentionCache
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import layout, mark_count
from llama_vid.llm.session import BATCH_TOKENS, VideoContext, embed_segments
from llama_vid.memory.budget import MARK_TOKENS, PAIR_TOKENS, Budget
from llama_vid.memory.consolidation import oldest_first
from llama_vid.memory.entry import MemoryEntry
from tests.llm.conftest import WIDTH, MakeEntries


def uncached(model: LanguageModel, entries: list[MemoryEntry], suffix: Tensor) -> Tensor:
    """The next token's scores from one forward over everything at once, by transformers' own forward."""
    parts = [
        model.embed_text(segment) if isinstance(segment, str) else torch.stack((segment.context, segment.motion))
        for segment in layout(entries)
    ]
    with torch.no_grad():
        logits: Tensor = model.module(inputs_embeds=torch.cat([*parts, suffix])[None]).logits[0, -1]
    return logits


def assert_same(model: LanguageModel, context: VideoContext, entries: list[MemoryEntry]) -> None:
    suffix = model.embed_text("\nCaption:")
    torch.testing.assert_close(context.logits(suffix), uncached(model, entries, suffix), rtol=2e-4, atol=2e-4)


def test_cached_equals_uncached_over_many_appends(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(200)
    context = VideoContext(tiny)
    for count in [*range(1, 12), 40, 41, 59, 60, 61, 62, 199, 200]:
        context.sync(entries[:count])
        assert_same(tiny, context, entries[:count])
    assert context.length == 2 * 200 + len(tiny.tokenize("[0 min][1 min][2 min][3 min]"))


def test_cached_equals_uncached_after_consolidation(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(150)
    context = VideoContext(tiny)
    context.sync(entries)
    fewer = [*oldest_first(entries, 100, recent_seconds=30), *make_entries(3, start=150)]
    context.sync(fewer)
    assert_same(tiny, context, fewer)
    context.sync(fewer[:50])  # entries may also go from the end
    assert_same(tiny, context, fewer[:50])
    context.sync([])
    assert context.length == 0


def test_only_what_changed_is_read_again(
    tiny: LanguageModel, make_entries: MakeEntries, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = make_entries(100)
    context = VideoContext(tiny)
    context.sync(entries)
    read: list[int] = []
    forward = tiny.forward

    def counted(x: Tensor, cache: AttentionCache | None = None) -> Tensor:
        read.append(len(x))
        return forward(x, cache)

    monkeypatch.setattr(tiny, "forward", counted)
    context.sync(entries)
    context.sync([replace(entry, end=entry.end - 0.1) for entry in entries])  # the same tokens
    assert read == []
    other = make_entries(1, seed=9)[0]
    context.sync([*entries[:95], replace(entries[95], pair=other.pair), *entries[96:]])
    assert sum(read) == 10


def test_prefill_comes_in_small_batches(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(400)
    context = VideoContext(tiny)
    lengths = [0]
    for left in context.syncing(entries):
        assert left > 0
        lengths.append(context.length)
    lengths.append(context.length)
    assert max(b - a for a, b in pairwise(lengths)) <= BATCH_TOKENS
    assert_same(tiny, context, entries)


def test_a_closed_prefill_goes_on_later(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(400)
    context = VideoContext(tiny)
    steps = context.syncing(entries)
    next(steps)
    steps.close()
    assert 0 < context.length <= BATCH_TOKENS
    context.sync(entries)
    assert_same(tiny, context, entries)


def test_a_rebuild_is_swapped_in_when_it_is_done(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    old, new = make_entries(300), make_entries(300, seed=1)
    context = VideoContext(tiny)
    context.sync(old)
    for _ in context.syncing(new):
        assert_same(tiny, context, old)
    assert_same(tiny, context, new)


def test_pieces_joined_are_the_greedy_answer(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(30)
    context = VideoContext(tiny)
    context.sync(entries)
    suffix = tiny.embed_text("\nQuestion: What?\nAnswer:")
    pieces = list(context.generate(suffix, max_tokens=24))
    ids: list[int] = []
    for _ in range(24):  # the same, with nothing cached
        tail = torch.cat([suffix, tiny.embed(ids)]) if ids else suffix
        token = int(uncached(tiny, entries, tail).argmax())
        if tiny.is_control(token):
            break
        ids.append(token)
    whole = tiny.detokenize(ids)
    assert pieces
    assert all(pieces)
    # The guard against circles may end it early; what there is must agree.
    assert whole.startswith("".join(pieces))
    assert "\ufffd" not in "".join(pieces[-1:])[-1:]


def test_questions_do_not_disturb_each_other(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(80)
    context = VideoContext(tiny)
    context.sync(entries)
    suffixes = [tiny.embed_text(text) for text in ("\nCaption:", "\nQuestion: Who?\nAnswer:", " x")]
    alone = ["".join(context.generate(suffix, max_tokens=12)) for suffix in suffixes]
    running = [context.generate(suffix, max_tokens=12) for suffix in suffixes]
    texts = ["", "", ""]
    alive = {0, 1, 2}
    while alive:  # one piece of each in turn
        for index in sorted(alive):
            piece = next(running[index], None)
            if piece is None:
                alive.discard(index)
            else:
                texts[index] += piece
    assert texts == alone
    assert_same(tiny, context, entries)


def test_frames_and_rebuilds_do_not_disturb_an_answer(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(120)
    context = VideoContext(tiny)
    context.sync(entries[:80])
    suffix = tiny.embed_text("\nCaption:")
    alone = "".join(context.generate(suffix, max_tokens=20))
    answer = context.generate(suffix, max_tokens=20)
    text = next(answer)
    context.sync(entries)  # frames arrive
    text += next(answer, "")
    context.sync(make_entries(90, seed=4))  # everything is rebuilt
    text += next(answer, "")
    context.release()
    text += "".join(answer)
    assert text == alone


def test_cancelling_ends_an_answer(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(10)
    context = VideoContext(tiny)
    context.sync(entries)
    suffix = tiny.embed_text("\nCaption:")
    whole = list(context.generate(suffix, max_tokens=30))
    assert len(whole) > 3
    seen: list[str] = []
    for piece in context.generate(suffix, max_tokens=30, cancel=lambda: len(seen) >= 2):
        seen.append(piece)
    assert seen == whole[:2]
    assert list(context.generate(suffix, max_tokens=30, cancel=lambda: True)) == []
    half = context.generate(suffix, max_tokens=30)
    next(half)
    del half  # dropped midway
    assert list(context.generate(suffix, max_tokens=30)) == whole
    assert_same(tiny, context, entries)


def test_a_stop_token_ends_an_answer_unseen(tiny: LanguageModel) -> None:
    context = VideoContext(tiny)
    suffix = tiny.embed_text("\nCaption:")
    first = int(context.logits(suffix).argmax())
    assert list(context.generate(suffix, max_tokens=10, stop=[first])) == []


def test_a_line_break_can_end_an_answer(tiny: LanguageModel) -> None:
    assert tiny.line_ends == frozenset(tiny.tokenize("\n"))


def test_a_question_without_memory_is_answered(tiny: LanguageModel) -> None:
    context = VideoContext(tiny)
    suffix = tiny.embed_text("\nCaption:")
    torch.testing.assert_close(context.logits(suffix), uncached(tiny, [], suffix), rtol=2e-4, atol=2e-4)


def test_too_long_a_question_is_refused_at_once(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    context = VideoContext(tiny)
    context.sync(make_entries(500))
    long = torch.zeros(tiny.context - context.length, WIDTH)
    with pytest.raises(QuestionError, match=r"the question takes .* tokens, but .* ask a shorter question"):
        context.generate(long, max_tokens=5)
    with pytest.raises(QuestionError):
        context.logits(long)
    assert len("".join(context.generate(long[:-2], max_tokens=50))) <= 2  # as long as the window lasts


def test_an_evidence_block_reads_like_memory(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries, evidence = make_entries(20), make_entries(3, start=200.0, seed=2)
    context = VideoContext(tiny)
    context.sync(entries)
    suffix = tiny.embed_text("\nCaption:")
    both = context.logits(torch.cat([embed_segments(tiny, layout(evidence)), suffix]))
    torch.testing.assert_close(both, uncached(tiny, [*entries, *evidence], suffix), rtol=2e-4, atol=2e-4)
    assert embed_segments(tiny, []).shape == (0, WIDTH)


def test_a_full_hour_leaves_room_for_question_and_answer(make_entries: MakeEntries) -> None:
    budget = Budget.for_context(8192)
    for start, zone in ((0.0, None), (1_700_000_030.0, ZoneInfo("Europe/Berlin"))):  # the second begins within a minute
        segments = layout(make_entries(budget.pairs, start=start), zone=zone, marks=budget.mark_count)
        marks = mark_count(segments)
        video = PAIR_TOKENS * (len(segments) - marks) + MARK_TOKENS * marks
        assert video + budget.evidence + budget.prompt + budget.answer <= 8192


def test_live_marks_show_the_zones_clock(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(3, start=1_700_000_000.0)
    context = VideoContext(tiny, zone=ZoneInfo("Europe/Berlin"))
    context.sync(entries)
    assert context.length == 3 * 2 + len(tiny.tokenize("[23:13]"))
