"""Forgetting: nothing of a span is left in the database, its files, the pictures or the outbox; all else stays."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import zipfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from llama_vid.errors import LlamaVidError
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.exporting import exported
from llama_vid.memory.forgetting import WITHOUT_WORDS, Forgotten, rests
from llama_vid.memory.journal import CameraJournal, Journal
from llama_vid.memory.records import Record, ToldSpan
from llama_vid.memory.vectors import packed
from tests.memory.conftest import MakeEntry

NOON = 1_790_000_000.0


def at(second: float) -> float:
    return NOON + second


def forgotten(camera: CameraJournal, start: float, end: float) -> Forgotten:
    return camera.forget(at(start), at(end)).result(10)


def starts(entries: Sequence[MemoryEntry]) -> list[tuple[float, float]]:
    return [(entry.start - NOON, entry.end - NOON) for entry in entries]


def on_disk(folder: Path, *needles: bytes) -> list[bytes]:
    """Which of these bytes are found in any file below a folder."""
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return [needle for needle in needles if any(needle in data for data in files)]


def test_nothing_of_a_span_is_left_in_any_file(tmp_path: Path, make_entry: MakeEntry) -> None:
    entries = [make_entry(at(second), width=400) for second in range(60)]
    with Journal(tmp_path) as journal:
        camera, other = journal.camera("front"), journal.camera("back")
        for second, entry in enumerate(entries):
            camera.append(entry)
            other.append(make_entry(at(second), seed=1000 + second))
            camera.picture(at(second), b"\xff\xd8 picture %d of the front " % second + bytes(500))
            camera.tell(ToldSpan(at(second), at(second) + 1, f"caption number {second} of the front door", 0.1))
            camera.note(Record("transcript", at(second), at(second) + 1, f"spoken line {second} here", {"words": []}))
        camera.note(Record("pause", at(25), at(25), "paused"))
        other.picture(at(25), b"\xff\xd8 of the back")
        assert journal.flush()

        def traces(second: int) -> list[bytes]:
            entry = entries[second]
            tokens = (entry.pair.context, entry.pair.motion, entry.embedding)
            return [
                *(packed(vector) for vector in tokens),
                *(text.encode() for text in (f"caption number {second} of", f"spoken line {second} here")),
                b"picture %d of the front" % second,
            ]

        assert len(on_disk(tmp_path, *traces(25))) == 6
        found = forgotten(camera, 20, 40)
        assert found == Forgotten(20.0, 20, 20, 20, 0, 20, scrubbed=True)
        for second in range(20, 40):
            assert on_disk(tmp_path, *traces(second)) == [], second
        for second in (*range(20), *range(40, 60)):
            assert len(on_disk(tmp_path, *traces(second))) == 6, second
        # The journal goes on as before.
        assert [entry.start - NOON for entry in camera.restore()] == [*range(20), *range(40, 60)]
        assert len(other.restore()) == 60
        assert other.jpeg(at(25)) == b"\xff\xd8 of the back"
        assert [record.text for record in camera.records("pause", at(0), at(60))] == ["paused"]
        camera.append(make_entry(at(60)))
        assert journal.flush()
        assert journal.state.rows == 101
    with Journal(tmp_path) as journal:
        assert len(journal.camera("front").restore()) == 41
        assert journal.state.ok


def test_what_was_replaced_and_deleted_before_is_gone_too(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for version in range(30):  # a scene is told anew as it goes on
            camera.tell(ToldSpan(at(0), at(1 + version), f"an earlier telling {version} of the scene", 0.1))
            camera.extend(make_entry(at(0), at(1 + version), seed=version, width=300))
            assert journal.flush()
        forgotten(camera, 0, 100)
        needles = [f"an earlier telling {version} of".encode() for version in range(30)]
        needles += [packed(make_entry(at(0), seed=version, width=300).embedding) for version in range(30)]
        assert on_disk(tmp_path, *needles) == []


def test_a_still_night_loses_only_the_minutes_asked_for(tmp_path: Path, make_entry: MakeEntry) -> None:
    night = make_entry(at(0), at(1000), frames=1000)
    moving = make_entry(at(1000), at(1001))
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.append(night)
        camera.append(moving)
        assert journal.flush()
        assert forgotten(camera, 400, 500).seconds == 100
        first, second, last = camera.restore()
        assert starts([first, second, last]) == [(0, 400), (500, 1000), (1000, 1001)]
        assert (first.frames, second.frames) == (400, 500)
        assert first.scene < second.scene  # nothing is told or merged over the hole
        assert first.pair.context.tolist() == second.pair.context.tolist()
        # What began in the span goes whole: its tokens come from there.
        assert forgotten(camera, 450, 600).seconds == 500
        assert starts(camera.restore()) == [(0, 400), (1000, 1001)]


def test_merged_entries_give_way_to_what_is_left_of_their_detail(tmp_path: Path, make_entry: MakeEntry) -> None:
    detail = [make_entry(at(second)) for second in range(10)]
    merged = make_entry(at(0), at(10), seed=99, frames=10)
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for entry in detail:
            camera.append(entry)
        camera.consolidate(detail, [merged])
        camera.append(make_entry(at(10)))
        assert journal.flush()
        assert starts(camera.restore()) == [(0, 10), (10, 11)]
        forgotten(camera, 3, 5)
        kept = [0, 1, 2, 5, 6, 7, 8, 9, 10]
        assert starts(camera.restore()) == [(second, second + 1) for second in kept]
        assert on_disk(tmp_path, packed(merged.pair.context), packed(merged.embedding)) == []


def test_tokens_that_others_share_stay(tmp_path: Path, make_entry: MakeEntry) -> None:
    first = make_entry(at(0))
    second = replace(make_entry(at(1)), pair=replace(make_entry(at(1)).pair, context=first.pair.context))
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.append(first)
        camera.append(second)
        assert journal.flush()
        forgotten(camera, 0, 1)
        (left,) = camera.restore()
        assert packed(left.pair.context) == packed(first.pair.context)
        third = replace(make_entry(at(2)), pair=replace(make_entry(at(2)).pair, context=first.pair.context))
        camera.append(third)  # the writer must not believe in rows that are gone
        assert journal.flush()
        assert journal.state.lost == 0
        assert packed(camera.restore()[-1].pair.context) == packed(first.pair.context)


def test_scenes_keep_their_time_outside_without_words() -> None:
    assert rests(0, 10, 3, 5) == [(0, 3), (5, 10)]
    assert rests(0, 10, -5, 5) == [(5, 10)]
    assert rests(0, 10, 9.9, 20) == [(0, 9.9)]
    assert rests(0, 10, 0.2, 9.9) == []
    assert rests(0, 10, float("-inf"), float("inf")) == []


def test_told_scenes(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.tell(ToldSpan(at(0), at(10), "a man with a secret", 0.3))
        camera.tell(ToldSpan(at(10), at(20), "an empty yard", 0.0))
        assert journal.flush()
        assert forgotten(camera, 4, 10).scenes == 1
        told = [(span.start - NOON, span.end - NOON, span.caption) for span in camera.told(at(0), at(20))]
        assert told == [(0, 4, WITHOUT_WORDS), (10, 20, "an empty yard")]
        assert on_disk(tmp_path, b"a man with a secret") == []


def test_late_news_of_it_is_not_kept(tmp_path: Path) -> None:
    with Journal(tmp_path, clock=lambda: at(100)) as journal:
        camera = journal.camera("front")
        forgotten(camera, 10, 1000)  # to a time that has not come yet
        camera.tell(ToldSpan(at(5), at(12), "told too late", 0.0))
        camera.tell(ToldSpan(at(0), at(10), "told in time", 0.0))
        camera.note(Record("transcript", at(20), at(22), "a sentence that was begun before"))
        camera.picture(at(30), b"\xff\xd8 late")
        camera.note(Record("transcript", at(101), at(102), "of now"))
        assert journal.flush()
        assert [span.caption for span in camera.told(at(0), at(200))] == ["told in time"]
        assert [record.text for record in camera.records("transcript", at(0), at(200))] == ["of now"]
        assert camera.jpeg(None) is None


def alert(start: float, end: float | None = None, **known: float) -> AlertEvent:
    return AlertEvent(f"evt_{start}", "front", "visitor", "a man in a red coat", at(start), end, 0.9, **known)


def test_alerts_and_what_is_still_to_be_told_of_them(tmp_path: Path) -> None:
    inside, after = alert(10), replace(alert(50), before=at(15))
    with Journal(tmp_path) as journal:
        journal.alerts.channels(["mqtt"])
        told = journal.alerts.record(AlertChange("new", inside, at(11)))
        journal.alerts.delivered("mqtt", told)
        journal.alerts.record(AlertChange("end", replace(inside, end=at(14), frames=(at(12),)), at(15)))
        last = journal.alerts.record(AlertChange("new", after, at(51)))
        assert asyncio.run(journal.alerts.committed(last, timeout=10))
        assert forgotten(journal.camera("front"), 5, 20).alerts == 1
        (left,) = journal.alerts.events("front", at(0), at(100))
        assert (left.id, left.before) == (after.id, None)
        end, new = journal.alerts.undelivered("mqtt")
        # Who was told that it began is told that it is over, and nothing else.
        assert (end.change.type, end.change.event.id) == ("end", inside.id)
        assert (end.change.event.text, end.change.event.frames, end.change.event.score) == ("", (), 0.0)
        assert new.change.event.text == "a man in a red coat"


def test_pictures_that_no_row_knows_go_with_their_folders(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.picture(at(0), b"\xff\xd8")
        assert journal.flush()
        folder = next((tmp_path / "frames" / "front").glob("*/*"))
        (folder / f"{at(1):.3f}.jpg").write_bytes(b"\xff\xd8 after a crash")
        (folder / f"{at(2):.3f}.part").write_bytes(b"\xff\xd8 half written")
        assert forgotten(camera, -10, 10).pictures == 2
        assert not (tmp_path / "frames" / "front").exists()


def test_everything_of_a_camera(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for second in range(5):
            camera.append(make_entry(at(second)))
            camera.picture(at(second), b"\xff\xd8")
        assert journal.flush()
        found = camera.forget(float("-inf"), float("inf")).result(10)
        assert (found.entries, found.pictures, found.seconds) == (5, 5, 5.0)
        assert journal.cameras() == []
        assert camera.bounds is None


def test_a_failing_disk_forgets_later_and_a_closed_journal_never(
    tmp_path: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llama_vid.memory import journal_writer

    broken = True

    def failing(*what: object) -> Forgotten:
        if broken:
            raise sqlite3.OperationalError("disk I/O error")
        return forget(*what)  # type: ignore[arg-type]

    forget = journal_writer.forget
    monkeypatch.setattr(journal_writer, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(journal_writer, "forget", failing)
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.append(make_entry(at(0)))
        camera.note(Record("transcript", at(50), at(51), "only once"))
        waiting = camera.forget(at(0), at(10))
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        assert not journal.state.ok
        broken = False
        assert waiting.result(10).entries == 1
        assert len(camera.records("transcript", at(0), at(100))) == 1
    with pytest.raises(LlamaVidError, match="nothing was forgotten: the journal is closed already"):
        camera.forget(at(0), at(10)).result(10)


def test_deleted_content_is_overwritten_as_a_matter_of_course(tmp_path: Path) -> None:
    with Journal(tmp_path):
        pass
    from llama_vid.memory.schema import open_for_writing

    with closing(open_for_writing(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA secure_delete").fetchone() == (2,)  # FAST


def test_an_export_holds_what_is_kept_of_the_span(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for second in (0, 5, 5.25, 20):
            camera.picture(at(second), b"\xff\xd8 of %.2f" % second)
        camera.tell(ToldSpan(at(0), at(10), "a yard", 0.2))
        camera.tell(ToldSpan(at(10), at(30), "a dog in a yard", 0.4))
        camera.note(Record("transcript", at(4), at(6), "héllo", {"words": [[at(4), at(6), "héllo", 0.9]]}))
        journal.alerts.record(AlertChange("end", alert(5, at(8)), at(8)))
        assert journal.flush()
        pieces = list(exported(camera, at(3), at(10)))
        assert len(pieces) == 4
        with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
            assert archive.testzip() is None
            trees = {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
            pictures = {name: archive.read(name) for name in archive.namelist() if name.endswith(".jpg")}
        assert list(pictures.values()) == [b"\xff\xd8 of 5.00", b"\xff\xd8 of 5.25"]
        assert list(pictures)[1].endswith(f"/{at(5.25):.3f}.jpg")
        assert [span["caption"] for span in trees["timeline.json"]["spans"]] == ["a yard"]
        assert [line["text"] for line in trees["transcript.json"]["lines"]] == ["héllo"]
        assert [event["rule"] for event in trees["events.json"]["events"]] == ["visitor"]
        about = trees["about.json"]
        assert (about["camera"], about["pictures"], about["from"]) == ("front", 2, at(3))
        everything = b"".join(exported(camera, float("-inf"), float("inf")))
        with zipfile.ZipFile(io.BytesIO(everything)) as archive:
            assert len(archive.namelist()) == 8
            assert json.loads(archive.read("about.json"))["to"] is None
