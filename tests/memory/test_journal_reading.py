"""Recall: details, embeddings, told scenes, records and pictures of a time, from any thread."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llama_vid.errors import ConfigError
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import Record, ToldSpan
from tests.memory.conftest import MakeEntry


def test_entries_that_share_time_with_a_span(tmp_path: Path, make_entry: MakeEntry) -> None:
    spans = [(0.0, 1.0), (1.0, 50.0), (50.0, 51.0), (60.0, 61.0)]
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        journal.camera("back").append(make_entry(2.0))
        for start, end in spans:
            camera.append(make_entry(start, end))
        assert journal.flush()

        def found(start: float, end: float, limit: int = 100) -> list[float]:
            return [entry.start for entry in camera.entries(start, end, limit)]

        assert found(-5.0, 0.0) == []
        assert found(0.0, 1.0) == [0.0]
        assert found(20.0, 30.0) == [1.0]
        assert found(49.9, 60.1) == [1.0, 50.0, 60.0]
        assert found(50.0, 60.0) == [50.0]
        assert found(51.0, 60.0) == []
        assert found(0.0, 100.0) == [0.0, 1.0, 50.0, 60.0]
        assert found(0.0, 100.0, limit=2) == [0.0, 1.0]
        assert found(float("-inf"), float("inf")) == [0.0, 1.0, 50.0, 60.0]


def test_embeddings_come_oldest_first_in_chunks(tmp_path: Path, make_entry: MakeEntry) -> None:
    entries = [make_entry(float(second)) for second in range(10)]
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for entry in entries:
            camera.append(entry)
        assert journal.flush()
        chunks = list(camera.embeddings(before=8.0, chunk=3))
        assert [starts for starts, _, _ in chunks] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0]]
        assert [ends for _, ends, _ in chunks] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0]]
        found = torch.cat([vectors for _, _, vectors in chunks])
        torch.testing.assert_close(found, torch.stack([entry.embedding for entry in entries[:8]]), rtol=0, atol=1e-3)
        assert list(journal.camera("back").embeddings()) == []


def test_a_stream_of_embeddings_goes_on_while_more_is_written(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        for second in range(4):
            camera.append(make_entry(float(second)))
        assert journal.flush()
        stream = camera.embeddings(chunk=2)
        assert next(stream)[0] == [0.0, 1.0]
        camera.append(make_entry(4.0, width=5))  # a new bundle's embeddings may have another width
        assert journal.flush()
        assert [(starts, tuple(vectors.shape)) for starts, _, vectors in stream] == [
            ([2.0, 3.0], (2, 8)),
            ([4.0], (1, 5)),
        ]


def test_told_scenes_and_records(tmp_path: Path) -> None:
    spans = [ToldSpan(0.0, 10.0, "a yard", 0.0), ToldSpan(10.0, 12.5, "a dog 🐕", 0.5)]
    said = Record("transcript", 3.0, 4.0, "hello")
    alert = Record("alert", 10.5, 11.0, "a dog", {"rule": "dog", "score": 0.75, "verified": None, "boxes": [[1, 2]]})
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.tell(replace(spans[0], caption="not yet"))
        for span in spans:
            camera.tell(span)
        camera.note(said)
        camera.note(alert)
        assert journal.flush()
        assert camera.told(0.0, 100.0) == spans
        assert camera.told(10.5, 11.0) == spans[1:]
        assert camera.told(0.0, 100.0, limit=1) == spans[1:]
        assert camera.records("transcript", 0.0, 100.0) == [said]
        assert camera.records("alert", 0.0, 100.0) == [alert]
        assert camera.records("alert", 0.0, 10.0) == []
        with pytest.raises(ValueError, match="JSON"):
            camera.note(Record("alert", 0.0, 1.0, "", {"score": float("nan")}))
        with pytest.raises(TypeError):
            camera.note(Record("alert", 0.0, 1.0, "", {"frame": b"bytes"}))


def test_the_nearest_picture_that_is_really_there(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        assert camera.jpeg(None) is None
        for seconds in (1.0, 2.5, 7.25):
            camera.picture(seconds, f"at {seconds}".encode())
        camera.picture(2.5, b"seen again")
        assert journal.flush()
        assert camera.jpeg(1.7) == b"at 1.0"
        assert camera.jpeg(2.0) == b"seen again"
        assert camera.jpeg(-100.0) == b"at 1.0"
        assert camera.jpeg(None) == b"at 7.25"
        newest = tmp_path / "frames/front/1970-01-01/00/7.250.jpg"
        newest.write_bytes(b"at 7")  # as a power cut may leave it
        assert camera.jpeg(None) == b"seen again"
        newest.unlink()
        assert camera.jpeg(8.0) == b"seen again"
        assert journal.camera("back").jpeg(1.0) is None


def test_pictures_lie_by_camera_day_and_hour(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.camera("front").picture(1_700_000_000.1234, b"jpeg")
        journal.camera("film").picture(90_000.9996, b"jpeg")
        assert journal.flush()
        assert journal.camera("film").jpeg(0.0) == b"jpeg"
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg"))
    assert found == [
        "frames/film/1970-01-02/01/90001.000.jpg",
        "frames/front/2023-11-14/22/1700000000.123.jpg",
    ]


def test_bounds_and_cameras(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        front, back = journal.camera("front"), journal.camera("Back-2_x")
        assert front.bounds is None
        assert journal.cameras() == []
        front.append(make_entry(5.0))
        front.append(make_entry(6.0, 90.0))
        back.note(Record("alert", 3.0, 1000.0, ""))
        back.picture(2.0, b"jpeg")
        assert journal.flush()
        assert front.bounds == (5.0, 90.0)
        assert back.bounds == (2.0, 1000.0)
        assert journal.cameras() == ["Back-2_x", "front"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-x", "x" * 65, "a b", "naïve", "front\n"])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, name: str) -> None:
    with Journal(tmp_path) as journal, pytest.raises(ConfigError, match="camera name"):
        journal.camera(name)


def test_reads_from_many_threads_while_cameras_write(tmp_path: Path, make_entry: MakeEntry) -> None:
    problems: list[str] = []
    done = threading.Event()

    def read(journal: Journal, name: str) -> None:
        camera = journal.camera(name)
        while not done.is_set():
            starts = [entry.start for entry in camera.restore()]
            if starts != [float(second) for second in range(len(starts))]:
                problems.append(f"{name}: {starts}")
            for chunk, _, vectors in camera.embeddings(chunk=16):
                if len(chunk) != len(vectors):
                    problems.append("a torn chunk")
            camera.jpeg(None)

    def write(journal: Journal, name: str) -> None:
        camera = journal.camera(name)
        for second in range(200):
            camera.append(make_entry(float(second)))
            camera.picture(float(second), b"jpeg")

    with Journal(tmp_path, flush_s=0.005) as journal:
        names = [f"camera{number}" for number in range(6)]
        readers = [threading.Thread(target=read, args=(journal, name)) for name in names[:3]]
        writers = [threading.Thread(target=write, args=(journal, name)) for name in names]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        assert journal.flush()
        done.set()
        for thread in readers:
            thread.join()
        assert problems == []
        assert all(len(journal.camera(name).restore()) == 200 for name in names)
        assert journal.state.lost == 0
        assert journal.state.waiting == 0


def test_closing_writes_what_waits_and_what_comes_later_is_counted(tmp_path: Path, make_entry: MakeEntry) -> None:
    journal = Journal(tmp_path, flush_s=3600.0)
    camera = journal.camera("front")
    camera.append(make_entry(0.0))
    camera.picture(0.0, b"jpeg")
    journal.close()
    journal.close()
    camera.append(make_entry(1.0))
    assert journal.state.lost == 1
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("SELECT count(*), max(end) FROM entries").fetchone() == (1, 1.0)
    assert not (tmp_path / "journal.db-wal").exists()
    assert (tmp_path / "frames/front/1970-01-01/00/0.000.jpg").read_bytes() == b"jpeg"


def test_lines_of_a_kind_are_read_without_their_data_the_newest_first_of_all(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        camera = journal.camera("yard")
        for second in range(5):
            camera.note(
                Record("transcript", float(second), second + 0.5, f"line {second}", {"words": [[0, 1, "x", 1]]})
            )
        camera.note(Record("alert", 1.0, 2.0, "not said"))
        journal.flush()
        assert camera.said("transcript", 0.0, 10.0, 2) == [(3.0, 3.5, "line 3"), (4.0, 4.5, "line 4")]
        assert [text for _, _, text in camera.said("transcript", 1.2, 2.0, 10)] == ["line 1", "line 2"]
