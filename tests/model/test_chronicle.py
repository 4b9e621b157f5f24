"""A timeline that is told while watching."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import cast

from llama_vid.chronicle import WAITING, Chronicle
from llama_vid.llm.evidence import Finder
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from llama_vid.memory.consolidation import policy
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import WITHOUT_WORDS
from llama_vid.memory.journal import Journal
from tests.model.making import entry


class Teller:
    """Says when it was asked for a sentence: `told` stands for the language model's, `plain` for one at once."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def captioning(self, one: MemoryEntry) -> Generator[None, None, str]:
        self.told.append(one.start)
        yield  # a sentence takes several steps
        return f"Told {one.start:g}."

    def plain(self, one: MemoryEntry) -> str:
        return f"Plain {one.start:g}."


def made(seconds: int, each: int = 5) -> tuple[MemoryBank, Teller, Chronicle]:
    """A bank of `seconds` with a cut every `each` seconds, and its chronicle."""
    bank, teller = MemoryBank(Budget.for_context(8192)), Teller()
    for second in range(seconds):
        bank.append(entry(second, scene=second // each))
    return bank, teller, Chronicle(bank, cast(Finder, teller))


def test_a_timeline_never_waits_for_the_language_model() -> None:
    _, teller, chronicle = made(20)
    spans = chronicle.spans(float("-inf"), float("inf"))
    assert [(span.start, span.end) for span in spans] == [(0, 5), (5, 10), (10, 15), (15, 20)]
    assert all(span.caption.startswith("Plain") for span in spans)
    assert teller.told == []


def test_scenes_are_told_once_when_they_are_over() -> None:
    bank, teller, chronicle = made(20)
    assert len(list(chronicle.telling())) == 6
    assert list(chronicle.telling()) == []
    captions = [span.caption.split()[0] for span in chronicle.spans(0, 100)]
    assert captions == ["Told", "Told", "Told", "Plain"]
    bank.append(entry(20, scene=4))
    list(chronicle.telling())
    assert len(teller.told) == 4
    assert [span.end for span in chronicle.spans(0, 100)] == [5, 10, 15, 20, 21]


def test_telling_may_be_left_at_any_scene() -> None:
    _, teller, chronicle = made(30)
    telling = chronicle.telling()
    next(iter(telling))
    close = telling.close  # type: ignore[attr-defined]
    close()
    assert len(teller.told) == 1
    list(chronicle.telling())
    assert teller.told == sorted(set(teller.told))
    assert len(teller.told) == 5


def test_a_range_gives_the_scenes_that_share_time_with_it() -> None:
    _, _, chronicle = made(20)
    list(chronicle.telling())
    assert [span.start for span in chronicle.spans(6, 11)] == [5, 10]
    assert [span.start for span in chronicle.spans(17, 18)] == [15]
    assert chronicle.spans(50, 60) == []
    assert chronicle.spans(-20, -10) == []


def test_too_many_waiting_scenes_get_plain_sentences() -> None:
    _, teller, chronicle = made(5 * (WAITING + 11))
    told = iter(chronicle.telling())
    next(told)
    next(told)
    assert len(teller.told) == 1
    spans = chronicle.spans(0, 1e9)
    assert len(spans) == WAITING + 11
    assert sum(span.caption.startswith("Told") for span in spans) == 1
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_what_was_told_outlives_consolidation() -> None:
    bank, teller = MemoryBank(Budget.for_context(1024), policy(0.5)), Teller()
    chronicle = Chronicle(bank, cast(Finder, teller))
    for second in range(2000):
        bank.append(entry(second, scene=second // 50))
        list(chronicle.telling())
    assert bank.version > 1
    spans = chronicle.spans(0, 1e9)
    assert [span.start for span in spans] == [50 * n for n in range(40)]
    assert len(teller.told) == 39


def test_a_restart_goes_on_where_telling_stopped(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        bank, teller = MemoryBank(Budget.for_context(8192)), Teller()
        chronicle = Chronicle(bank, cast(Finder, teller), journal.camera("front"))
        for second in range(22):
            bank.append(entry(second, scene=second // 5))
        telling = iter(chronicle.telling())
        next(telling)
        next(telling)  # the first scene is told, three wait, one goes on
        chronicle.note()
        assert [span.end for span in chronicle.spans(0, 100)] == [5, 10, 15, 20, 22]
    with Journal(tmp_path) as journal:
        again = MemoryBank(Budget.for_context(8192))
        again.restore(bank.entries)
        later = Chronicle(again, cast(Finder, teller), journal.camera("front"))
        later.resume()
        spans = later.spans(0, 100)
        assert [(span.start, span.end) for span in spans] == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 22)]
        assert [span.caption.split()[0] for span in spans] == ["Told", "Plain", "Plain", "Plain", "Plain"]
        again.append(entry(22, scene=5))
        again.append(entry(23, scene=6))
        told = len(teller.told)
        list(later.telling())
        assert teller.told[told:] == [22]
        journal.flush()
        assert [span.start for span in later.spans(0, 100)] == [0, 5, 10, 15, 20, 22, 23]


def test_the_present_scene_is_replaced_when_it_is_over(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        bank, teller = MemoryBank(Budget.for_context(8192)), Teller()
        front = journal.camera("front")
        chronicle = Chronicle(bank, cast(Finder, teller), front)
        for second in range(3):
            bank.append(entry(second))
        chronicle.note()
        bank.append(entry(3))
        bank.append(entry(4, scene=1))
        list(chronicle.telling())
        journal.flush()
        told = front.told(0, 100)
        assert [span.end for span in told] == [4.0]
        assert told[0].caption.startswith("Told")


def test_what_is_noted_is_not_told_twice(tmp_path: Path) -> None:
    bank, teller = MemoryBank(Budget.for_context(8192)), Teller()
    with Journal(tmp_path) as journal:
        front = journal.camera("front")
        chronicle = Chronicle(bank, cast(Finder, teller), front)
        for second in range(12):
            bank.append(entry(second + 0.1234, scene=second // 5))
        chronicle.note()
        assert journal.flush()
        assert len(front.told(0, 100)) == 3
        spans = chronicle.spans(float("-inf"), float("inf"))
        assert [(span.start, span.end) for span in spans] == [(0.123, 5.123), (5.123, 10.123), (10.123, 12.123)]


def test_forgetting_takes_the_words_and_leaves_the_time_outside(tmp_path: Path) -> None:
    bank, teller = MemoryBank(Budget.for_context(8192)), Teller()
    with Journal(tmp_path) as journal:
        front = journal.camera("front")
        chronicle = Chronicle(bank, cast(Finder, teller), front)
        for second in range(20):
            made = entry(second, scene=second // 5)
            bank.append(made)
            front.append(made)
        list(chronicle.telling())
        chronicle.note()
        bank.forget(3, 12)
        chronicle.forget(3, 12)
        assert front.forget(3, 12).result(10).seconds == 9
        bank.replace(front.restore())
        spans = chronicle.spans(float("-inf"), float("inf"))
        assert [(span.start, span.end, span.caption) for span in spans] == [
            (0, 3, WITHOUT_WORDS),
            (12, 15, WITHOUT_WORDS),
            (15, 20, "Plain 15."),
        ]
        # The next one is told, and nothing of it again.
        bank.append(entry(20, scene=9))
        teller.told.clear()
        list(chronicle.telling())
        assert teller.told == [15.0]


def test_forgetting_while_a_sentence_is_made() -> None:
    bank, teller, chronicle = made(20)
    telling = chronicle.telling()
    next(telling)
    bank.forget(0, 10)
    chronicle.forget(0, 10)
    for _ in telling:
        pass
    assert [(span.start, span.end) for span in chronicle.spans(0, 100)] == [(10, 15), (15, 20)]
    assert teller.told[-1] == 10.0
