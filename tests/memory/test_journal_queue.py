"""What waits is bounded: while the disk fails the oldest pictures go first, then the oldest rows."""

from __future__ import annotations

from dataclasses import replace

from llama_vid.memory.journal_queue import Waiting
from llama_vid.memory.records import Append, Extend, Picture, Tell, ToldSpan
from tests.memory.conftest import MakeEntry


def drain(waiting: Waiting) -> tuple[list[float], list[float]]:
    """The starts of the waiting entries and the seconds of the waiting pictures."""
    batch = waiting.take()
    waiting.settle(batch)
    rows = [row.entry.start for _, row in batch.rows if isinstance(row, Append | Extend)]
    return rows, [picture.seconds for _, picture in batch.pictures]


def test_pictures_go_before_rows_and_old_before_new(make_entry: MakeEntry) -> None:
    waiting = Waiting(most_bytes=100_000)
    for second in range(50):
        waiting.put(Append("front", make_entry(float(second), width=100), 0.0))
        waiting.put(Picture("front", float(second), b"x" * 1000, 0.0))
    rows, pictures = drain(waiting)
    assert rows == [float(second) for second in range(50)]
    assert 0 < len(pictures) < 50
    assert pictures == [float(second) for second in range(50 - len(pictures), 50)]
    assert waiting.lost == 50 - len(pictures)
    for second in range(50, 100):
        waiting.put(Append("front", make_entry(float(second), width=100), 0.0))
    rows, pictures = drain(waiting)
    assert pictures == []
    assert 50 < len(rows) < 100
    assert rows == [float(second) for second in range(100 - len(rows), 100)]
    assert waiting.lost == 150 - len(rows)
    assert len(waiting) == len(rows)


def test_what_comes_back_is_before_what_came_since(make_entry: MakeEntry) -> None:
    waiting = Waiting()
    waiting.put(Append("front", make_entry(0.0), 0.0))
    batch = waiting.take()
    waiting.put(Append("front", make_entry(1.0), 0.0))
    waiting.settle(batch)
    assert drain(waiting)[0] == [0.0, 1.0]


def test_an_entry_grows_while_it_waits_but_not_once_it_is_taken(make_entry: MakeEntry) -> None:
    waiting = Waiting()
    entry = make_entry(0.0)
    waiting.put(Append("front", entry, 0.0))
    waiting.put(Extend("front", replace(entry, end=2.0), 1.0))
    waiting.put(Append("yard", entry, 1.0))
    assert len(waiting) == 2
    batch = waiting.take()
    waiting.put(Extend("front", replace(entry, end=3.0), 2.0))
    waiting.put(Extend("front", replace(entry, end=4.0), 3.0))
    assert [row.entry.end for _, row in batch.rows if isinstance(row, Append)] == [2.0, 1.0]
    waiting.settle(batch)
    assert len(waiting) == 3


def test_a_flush_that_nobody_serves_gives_up(make_entry: MakeEntry) -> None:
    waiting = Waiting()
    assert waiting.flush(0.0)
    waiting.put(Tell("front", ToldSpan(0.0, 1.0, "", 0.0), 0.0))
    assert not waiting.flush(0.01)
    waiting.take()
    assert not waiting.flush(0.01), "taken is not written"
    waiting.settle()
    assert waiting.flush(0.01)


def test_nothing_is_taken_in_after_closing(make_entry: MakeEntry) -> None:
    waiting = Waiting()
    waiting.close()
    waiting.put(Append("front", make_entry(0.0), 0.0))
    assert (len(waiting), waiting.lost) == (0, 1)
