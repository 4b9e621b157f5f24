"""Alerts in the journal: on disk before they are told, in order for every channel, ended after a crash."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from llama_vid.memory.alerts import AlertChange, AlertEvent, event_id
from llama_vid.memory.journal import Journal
from llama_vid.memory.journal_queue import WAITING_ALERTS, Waiting
from llama_vid.memory.outbox import Ledger, Outgoing
from tests.memory.conftest import MakeEntry

NOON = 1_790_000_000.0


def event(at: float = NOON, *, camera: str = "front", rule: str = "package", score: float = 0.8) -> AlertEvent:
    return AlertEvent(
        event_id(), camera, rule, "a package left at the door", at, None, score, None, (at, at + 1), at - 1
    )


def began(of: AlertEvent) -> AlertChange:
    return AlertChange("new", of, of.start + 1)


def ended(of: AlertEvent, at: float) -> AlertChange:
    return AlertChange("end", replace(of, end=at, verified=True, score=0.9), at)


def commit(journal: Journal, *changes: AlertChange) -> list[int]:
    """Record changes and see them on disk."""
    numbers = [journal.alerts.record(change) for change in changes]
    assert asyncio.run(journal.alerts.committed(numbers[-1], timeout=10))
    return numbers


def fail(problem: Exception) -> Callable[[], None]:
    """Something that raises."""

    def raises() -> None:
        raise problem

    return raises


def test_an_event_as_it_is_known_and_its_changes_as_they_were(tmp_path: Path) -> None:
    first, second = event(), event(NOON + 100, rule="person")
    with Journal(tmp_path) as journal:
        journal.alerts.channels(["mqtt"])
        changes = [
            began(first),
            AlertChange("update", replace(first, verified=True, text="a brown box"), NOON + 3),
            began(second),
            ended(first, NOON + 7),
        ]
        numbers = commit(journal, *changes)
        assert numbers == sorted(set(numbers))
        alerts = journal.alerts
        done = changes[-1].event
        assert alerts.events("front", NOON, NOON + 200) == [done, second]
        assert alerts.events("front", NOON, NOON + 200, limit=1) == [second]
        assert alerts.events("front", NOON + 8, NOON + 99) == []
        assert alerts.events("front", NOON + 500, NOON + 600) == [second]  # it goes on
        assert alerts.events("yard", NOON, NOON + 200) == []
        assert alerts.open_events("front") == [second]
        assert alerts.latest("front") == [done, second]
        found = alerts.undelivered("mqtt")
        assert [(out.seq, out.change) for out in found] == list(zip(numbers, changes, strict=True))
        assert journal.cameras() == ["front"]
        assert journal.camera("front").bounds == (NOON, NOON + 7)


def test_every_channel_goes_at_its_own_pace_and_what_all_have_is_gone(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        alerts = journal.alerts
        commit(journal, began(event()))  # before there is any channel: nobody is to be told
        alerts.channels(["mqtt", "webhook"])
        numbers = commit(journal, *(began(event(NOON + n)) for n in range(5)))
        assert [out.seq for out in alerts.undelivered("mqtt")] == numbers
        assert [out.seq for out in alerts.undelivered("mqtt", limit=2)] == numbers[:2]
        alerts.delivered("mqtt", numbers[3])
        assert [out.seq for out in alerts.undelivered("mqtt")] == numbers[4:]  # at once, before it is written
        assert [out.seq for out in alerts.undelivered("webhook")] == numbers
        alerts.delivered("webhook", numbers[1])
        assert alerts.undelivered("nobody") == []
        assert journal.flush()
        with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
            assert [seq for (seq,) in db.execute("SELECT id FROM outbox ORDER BY id")] == numbers[2:]
    with Journal(tmp_path) as journal:  # how far each is outlives the process
        journal.alerts.channels(["mqtt", "webhook", "late"])
        assert journal.flush()
        # what the first process left open was ended as this one began; the new channel is not told of older things
        ends = journal.alerts.undelivered("mqtt")[1:]
        assert [out.change.type for out in ends] == ["end"] * 6
        assert [out.seq for out in journal.alerts.undelivered("mqtt")][:1] == numbers[4:]
        assert [out.seq for out in journal.alerts.undelivered("webhook")][:3] == numbers[2:]
        assert journal.alerts.undelivered("late") == []
        journal.alerts.channels(["webhook"])
        assert journal.alerts.undelivered("mqtt") == []
        journal.alerts.delivered("webhook", ends[-1].seq)
        assert journal.flush()
        with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
            assert db.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert commit(journal, began(event()))[0] > ends[-1].seq  # numbers are not used again


async def test_who_waits_is_woken_when_it_is_on_disk(tmp_path: Path) -> None:
    with Journal(tmp_path, flush_s=60) as journal:  # alerts do not wait for the next flush
        alerts = journal.alerts
        alerts.channels(["mqtt"])
        assert not await alerts.committed(alerts.last + 1, timeout=0.01)
        waiter = asyncio.create_task(alerts.more(alerts.last))
        delays = []
        for n in range(20):
            begin = time.perf_counter()
            seq = alerts.record(began(event(NOON + n)))
            assert await alerts.committed(seq, timeout=10)
            delays.append(time.perf_counter() - begin)
            assert alerts.undelivered("mqtt")[-1].seq == seq
        await asyncio.wait_for(waiter, 10)
        assert median(delays) < 0.05
        cancelled = asyncio.create_task(alerts.more(alerts.last))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled


def test_alerts_are_synced_and_nothing_else_is(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        modes: list[tuple[str, int]] = []
        db = journal._writer._file.db

        def trace(sql: str) -> None:
            if sql.startswith(("BEGIN", "PRAGMA synchronous =")):
                modes.append((sql, 0))

        db.set_trace_callback(trace)
        commit(journal, began(event()))
        journal.camera("front").append(make_entry(NOON))
        assert journal.flush()
        db.set_trace_callback(None)
        said = [sql for sql, _ in modes]
        assert said[:3] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "PRAGMA synchronous = NORMAL"]
        assert said[3:].count("BEGIN IMMEDIATE") >= 1
        assert "PRAGMA synchronous = FULL" not in said[3:]


def test_what_a_killed_process_left_open_ends_once_at_the_last_known_second(
    tmp_path: Path, make_entry: MakeEntry
) -> None:
    seen, unseen = event(), event(NOON, camera="yard")
    with Journal(tmp_path) as journal:
        journal.alerts.channels(["mqtt"])
        journal.camera("front").append(make_entry(NOON + 41.0))
        assert journal.flush()
        commit(journal, began(seen), began(unseen))
    for _ in range(2):
        with Journal(tmp_path) as journal:
            journal.alerts.channels(["mqtt"])
            changes = [out.change for out in journal.alerts.undelivered("mqtt")]
            assert [change.type for change in changes] == ["new", "new", "end", "end"]
            ends = {change.event.camera: change for change in changes[2:]}
            assert ends["front"].event == replace(seen, end=NOON + 42.0)  # its camera's last frame
            assert ends["front"].at == NOON + 42.0
            assert ends["yard"].event == replace(unseen, end=NOON + 1.0)  # nothing later is known of it
            assert journal.alerts.open_events("front") == []
            assert [found.end for found in journal.alerts.events("front", 0, 2 * NOON)] == [NOON + 42.0]


def test_a_damaged_database_is_begun_anew_and_channels_go_on(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.alerts.channels(["mqtt"])
        before = commit(journal, began(event()))
        journal.alerts.delivered("mqtt", before[0])
        problem = sqlite3.DatabaseError("database disk image is malformed")
        problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        journal._writer._file.check = fail(problem)  # type: ignore[method-assign]
        journal._writer.suspect(problem)
        journal.flush()
        after = commit(journal, began(event(NOON + 5)))
        assert "damaged" in journal.state.reason
        assert [out.seq for out in journal.alerts.undelivered("mqtt")] == after
        assert after[0] > before[0]


def test_with_a_full_disk_alerts_are_told_before_they_are_kept(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        alerts = journal.alerts
        alerts.channels(["mqtt"])
        first = commit(journal, began(event()))
        db = journal._writer._file.db
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        seqs = [alerts.record(began(event(NOON + n))) for n in range(1, 40)]

        async def told() -> bool:
            await asyncio.wait_for(alerts.more(seqs[-1] - 1), 10)
            return await alerts.committed(seqs[-1], timeout=0.01)

        assert not asyncio.run(told())
        assert "full" in journal.state.reason
        assert [out.seq for out in alerts.undelivered("mqtt")] == first + seqs
        alerts.delivered("mqtt", seqs[10])
        assert [out.seq for out in alerts.undelivered("mqtt")] == seqs[11:]
        db.execute("PRAGMA max_page_count = 1000000")
        assert asyncio.run(alerts.committed(seqs[-1], timeout=10))
        assert journal.flush()
        assert [out.seq for out in alerts.undelivered("mqtt")] == seqs[11:]  # none twice
        assert len(alerts.events("front", 0, 2 * NOON)) == 40
        assert journal.state.lost == 0


def test_a_change_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match="JSON"):
        journal.alerts.record(began(event(score=float("nan"))))


def test_alerts_that_wait_are_bounded() -> None:
    waiting = Waiting()
    for n in range(WAITING_ALERTS + 3):
        waiting.put(Outgoing(n, began(event()), NOON))
    assert waiting.lost == 3
    assert waiting.unwritten()[0].seq == 3


def test_numbers_grow_though_the_clock_does_not() -> None:
    ledger = Ledger()
    assert ledger.number(NOON) < ledger.number(NOON) < ledger.number(NOON - 5) < ledger.number(NOON + 1)
    ledger.passed(10**18)
    assert ledger.number(NOON) == 10**18 + 1


def test_alerts_outlive_all_else_and_age_all_the_same(tmp_path: Path, make_entry: MakeEntry) -> None:
    now = NOON
    clock: Callable[[], float] = lambda: now  # noqa: E731
    with Journal(tmp_path, retention_days=2, clock=clock) as journal:
        journal.alerts.channels(["mqtt"])
        of = event()
        commit(journal, began(of), ended(of, NOON + 5))
        now = NOON + 3 * 86400
        deadline = time.monotonic() + 20
        while journal.alerts.events("front", 0, 2 * NOON) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert journal.alerts.events("front", 0, 2 * NOON) == []
        while journal.alerts.undelivered("mqtt") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert journal.alerts.undelivered("mqtt") == []
