"""Several questions at once: every answer must be the one that it would be alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llama_vid.llm.batching import ACTIVE, STEP_TOKENS
from llama_vid.llm.cache import AttentionCache
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.session import VideoContext
from tests.llm.conftest import WIDTH, MakeEntries


def question(length: int, seed: int = 0) -> Tensor:
    """A random suffix (length, D)."""
    return torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(1000 * seed + length))


def in_turn(answers: list[Iterator[str]]) -> list[str]:
    """The texts of all answers, pulled one piece at a time in turn."""
    texts = ["" for _ in answers]
    alive = set(range(len(answers)))
    while alive:
        for index in sorted(alive):
            piece = next(answers[index], None)
            if piece is None:
                alive.discard(index)
            else:
                texts[index] += piece
    return texts


@pytest.fixture
def forwards(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens of each forward from now on."""
    counts: list[int] = []
    forward = tiny.forward

    def counted(x: Tensor, cache: AttentionCache | None = None, *, positions: Tensor | None = None) -> Tensor:
        counts.append(len(x))
        return forward(x, cache, positions=positions)

    monkeypatch.setattr(tiny, "forward", counted)
    return counts


def test_unlike_questions_are_answered_as_alone(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    context = VideoContext(tiny)
    context.sync(make_entries(150))
    suffixes = [question(length, seed) for seed, length in enumerate((1, 3, 17, 40, 2, 300, 9, 33))]
    alone = ["".join(context.generate(suffix, max_tokens=12)) for suffix in suffixes]
    assert in_turn([context.generate(suffix, max_tokens=12) for suffix in suffixes]) == alone
    assert len(set(alone)) > 4  # a test in which all say the same would show nothing
    assert not context.busy


def test_questions_of_different_moments_share_steps(
    tiny: LanguageModel, make_entries: MakeEntries, forwards: list[int]
) -> None:
    entries, changed = make_entries(300), make_entries(200, seed=5)
    memories = [entries[:100], entries[:101], entries[:140], entries, changed]
    suffixes = [question(5 + index, index) for index in range(len(memories))]
    alone = []
    for memory, suffix in zip(memories, suffixes, strict=True):
        context = VideoContext(tiny)
        context.sync(memory)
        alone.append("".join(context.generate(suffix, max_tokens=16)))
    context = VideoContext(tiny)
    answers = []
    for memory, suffix in zip(memories, suffixes, strict=True):  # appended three times, then rebuilt
        context.sync(memory)
        answers.append(context.generate(suffix, max_tokens=16))
    forwards.clear()
    assert in_turn(list(answers)) == alone
    assert len(forwards) <= 16


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_of_coming_and_going_gives_the_answers_of_alone(tiny: LanguageModel, data: st.DataObject) -> None:
    context = VideoContext(tiny)
    kinds = data.draw(
        st.lists(st.tuples(st.integers(1, 40), st.integers(1, 10), st.integers(0, 6)), min_size=1, max_size=8)
    )
    alone: list[list[str]] = []
    stops: list[list[int]] = []
    for seed, (length, most, ends_at) in enumerate(kinds):
        whole = tiny.tokenize("".join(context.generate(question(length, seed), max_tokens=most)))
        stops.append(whole[ends_at : ends_at + 1] if ends_at < 3 else [])  # some end at a stop token of their own
        alone.append(list(context.generate(question(length, seed), max_tokens=most, stop=stops[-1])))
    begun: dict[int, Iterator[str]] = {}
    said: dict[int, list[str]] = {}
    gone: set[int] = set()
    for index in data.draw(st.lists(st.integers(0, len(kinds) - 1), max_size=60)):
        length, most, _ = kinds[index]
        if index in gone:
            continue
        if index not in begun:
            begun[index] = context.generate(question(length, index), max_tokens=most, stop=stops[index])
            said[index] = []
        elif data.draw(st.integers(0, 15)) == 0:
            del begun[index]  # dropped midway
            gone.add(index)
        else:
            piece = next(begun[index], None)
            if piece:
                said[index].append(piece)
    for index, answer in begun.items():
        said[index].extend(piece for piece in answer if piece)
    for index, pieces in said.items():
        assert pieces == (alone[index] if index not in gone else alone[index][: len(pieces)])
    begun.clear()
    assert not context.busy


def test_cancelled_answers_end_and_the_others_go_on(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    context = VideoContext(tiny)
    context.sync(make_entries(40))
    suffixes = [question(6, seed) for seed in range(5)]
    alone = [list(context.generate(suffix, max_tokens=20)) for suffix in suffixes]
    stopped: set[int] = set()
    answers = [
        context.generate(suffix, max_tokens=20, cancel=lambda index=index: index in stopped)  # type: ignore[misc]
        for index, suffix in enumerate(suffixes)
    ]
    heads = [next(answer) for answer in answers]
    stopped.add(1)
    answers[3].close()
    assert list(answers[1]) == list(answers[3]) == []
    for index in (0, 2, 4):
        assert [heads[index], *answers[index]] == alone[index]
    assert not context.busy


def test_many_short_questions_take_hardly_more_steps_than_one(tiny: LanguageModel, forwards: list[int]) -> None:
    context = VideoContext(tiny)
    answers: list[Iterator[str]] = [context.generate(question(20, seed), max_tokens=6) for seed in range(32)]
    in_turn(answers)
    assert len(forwards) <= 6 + 32 * 20 // STEP_TOKENS + 1
    assert max(forwards) <= STEP_TOKENS + 32


def test_a_step_reads_a_limited_number_of_tokens(tiny: LanguageModel, forwards: list[int]) -> None:
    context = VideoContext(tiny)
    long = context.generate(question(3 * STEP_TOKENS), max_tokens=4)
    assert [next(long), next(long)] == ["", ""]
    assert next(long) != ""
    assert forwards[:3] == [STEP_TOKENS] * 3


def test_more_questions_than_slots_wait_for_one(tiny: LanguageModel) -> None:
    context = VideoContext(tiny)
    suffixes = [question(3, seed) for seed in range(ACTIVE + 5)]
    alone = ["".join(context.generate(suffix, max_tokens=3)) for suffix in suffixes]
    assert in_turn([context.generate(suffix, max_tokens=3) for suffix in suffixes]) == alone


def test_questions_hold_no_memory_once_they_are_answered(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    before = tiny.pool.used
    context = VideoContext(tiny)
    context.sync(make_entries(200))
    answer = context.generate(question(4), max_tokens=8)
    next(answer)
    assert context.busy
    context.release()
    assert tiny.pool.used > before  # the answer still reads them
    list(answer)
    assert tiny.pool.used == before
    assert context._batch._tails.bytes == 0
