"""Shuffled, shared out, mixed and resumed: what comes is exactly what an uninterrupted run would have given."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_vid.errors import ConfigError
from tests.training.conftest import END, encode
from training.data import json_arrays
from training.data.dataset import open_dataset
from training.data.example import Example, Place, Turn
from training.data.json_arrays import JsonArrays
from training.data.records import Table
from training.data.segments import by_media, questions_of, segments_of
from training.data.stream import Mixture, Shard, Stream


class Numbered:
    """A data set of so many examples, named by their number."""

    def __init__(self, count: int, name: str = "x") -> None:
        self.count, self.fingerprint = count, f"{name}{count}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Example:
        return Example(Place(Path("x"), number, number), f"{self.fingerprint}/{number}", None, "image", ("A dog.",))


def names(stream: Stream | Mixture, count: int) -> list[str]:
    return [example.name for example in islice(stream, count)]


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(state))
    return found


@given(st.integers(1, 60), st.integers(0, 2**31), st.integers(1, 5), st.integers(0, 150), st.integers(1, 40))
def test_a_resumed_stream_goes_on_with_the_next(size: int, seed: int, count: int, before: int, after: int) -> None:
    size = max(size, count)
    shard = Shard(seed % count, count)
    whole = names(Stream(Numbered(size), seed, shard), before + after)
    first = Stream(Numbered(size), seed, shard)
    assert names(first, before) == whole[:before]
    second = Stream(Numbered(size), seed, shard)
    second.restore(stored(first.state()))
    assert names(second, after) == whole[before:]


@given(st.integers(1, 60), st.integers(0, 2**31), st.integers(1, 5))
def test_workers_share_a_round_without_overlap(size: int, seed: int, count: int) -> None:
    size = max(size, count)
    shares = [[e.name for e in Stream(Numbered(size), seed, Shard(i, count), rounds=1)] for i in range(count)]
    assert sorted(name for share in shares for name in share) == sorted(f"x{size}/{n}" for n in range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_rounds_differ_and_seeds_repeat() -> None:
    stream = Stream(Numbered(50), 3)
    first, second = names(stream, 50), names(stream, 50)
    assert first != second
    assert sorted(first) == sorted(second)
    assert names(Stream(Numbered(50), 3), 50) == first
    assert names(Stream(Numbered(50), 4), 50) != first


@given(
    st.lists(st.tuples(st.integers(4, 30), st.floats(0.1, 10)), min_size=1, max_size=4),
    st.integers(0, 2**31), st.integers(1, 4), st.integers(0, 120), st.integers(1, 60),
)  # fmt: skip
def test_a_resumed_mixture_goes_on_with_the_next(
    sets: list[tuple[int, float]], seed: int, count: int, before: int, after: int
) -> None:
    shard = Shard(seed % count, count)

    def mixture() -> Mixture:
        return Mixture([Numbered(size, f"{i}:") for i, (size, _) in enumerate(sets)], [w for _, w in sets], seed, shard)

    whole = names(mixture(), before + after)
    first, second = mixture(), mixture()
    assert names(first, before) == whole[:before]
    second.restore(stored(first.state()))
    assert names(second, after) == whole[before:]


def test_a_mixture_keeps_its_weights() -> None:
    found = names(Mixture([Numbered(20, "a"), Numbered(500, "b")], [3, 1], seed=5), 4000)
    share = sum(name.startswith("a") for name in found) / len(found)
    assert share == pytest.approx(0.75, abs=0.03)


def test_a_state_of_something_else_is_refused() -> None:
    stream = Stream(Numbered(9), 1, Shard(0, 2))
    state = stored(stream.state())
    for other, message in (
        (Stream(Numbered(8), 1, Shard(0, 2)), r"another run \(data"),
        (Stream(Numbered(9), 2, Shard(0, 2)), r"another run \(seed"),
        (Stream(Numbered(9), 1, Shard(1, 2)), r"another run \(shard"),
    ):
        with pytest.raises(ConfigError, match=message):
            other.restore(state)
    with pytest.raises(ConfigError, match="damaged"):
        stream.restore({**state, "at": 5})
    with pytest.raises(ConfigError, match="lacks 'at'"):
        stream.restore({key: value for key, value in state.items() if key != "at"})
    with pytest.raises(ConfigError, match="another mixture"):
        Mixture([Numbered(9)], [1], 0).restore({"drawn": 1, "streams": []})
    with pytest.raises(ConfigError, match="no worker 2 of 2"):
        Shard(2, 2)
    with pytest.raises(ConfigError, match="cannot be shared out over 3 workers"):
        Stream(Numbered(2), 0, Shard(0, 3))
    with pytest.raises(ConfigError, match="weight above 0"):
        Mixture([Numbered(2)], [0], 0)


def test_a_real_set_streams_and_its_change_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    records = [{"q": f"{n}?", "a": "x", "video_id": str(n)} for n in range(30)]
    file.write_text(json.dumps(records))
    stream = Stream(open_dataset(file), 7)
    names(stream, 11)
    again = Stream(open_dataset(file), 7)
    again.restore(stored(stream.state()))
    assert names(again, 50) == names(stream, 50)
    file.write_text(json.dumps(records[1:]))
    with pytest.raises(ConfigError, match="another run"):
        Stream(open_dataset(file), 7).restore(stream.state())
    data = open_dataset(file)
    data.spread(3)
    assert [example.name for example in data] == ["1", "15", "29"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values), st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(1, 40), st.booleans())
def test_elements_of_an_array_are_what_json_reads(
    tmp_path: Path, content: list[Any], indent: Any, ascii_only: bool, chunk: int, keyed: bool
) -> None:
    """Whatever the size of the pieces that are read: values, positions and lines."""
    whole = {"a": 1, "rows": content, "z": [{}]} if keyed else content
    file = tmp_path / "x.json"
    file.write_bytes(json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_arrays, "CHUNK", chunk)
        found = [raw for raw in JsonArrays(file).scan() if raw.part in ("", "rows")]
    reader, data = JsonArrays(file), file.read_bytes()
    assert [raw.value for raw in found] == content
    assert [reader.read(raw.offset, raw.length) for raw in found] == content
    assert [raw.place.line for raw in found] == [data.count(b"\n", 0, raw.offset) + 1 for raw in found]
    assert [raw.place.record for raw in found] == list(range(1, len(content) + 1))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, cells)))
def test_rows_of_a_table_are_what_csv_reads(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("a", "b"), *rows])
    file = tmp_path / "x.csv"
    file.write_bytes(text.getvalue().encode())
    reader = Table(file)
    found = list(reader.scan())
    assert [(raw.value["a"], raw.value["b"]) for raw in found] == rows
    assert [reader.read(raw.offset, raw.length) for raw in found] == [raw.value for raw in found]


def example(*turns: Turn, name: str = "a.mp4", captions: tuple[str, ...] = ()) -> Example:
    return Example(Place(Path("x.json"), 1, 1), name, None, "video", captions, turns)


def test_turns_become_questions() -> None:
    found = questions_of(
        example(
            Turn("<image>\nWhat is it?", "A dog."),
            Turn("Describe.\n<video>", "It runs."),
            Turn("<image>", "A caption."),
            Turn("what is it?", "cow", ("cat", "cow"), 1),
        )
    )
    assert found == [
        ("What is it?", "A dog."), ("Describe.", "It runs."), ("what is it? (A) cat (B) cow", "(B) cow"),
    ]  # fmt: skip


def test_segments_ask_as_the_program_does() -> None:
    whole = example(Turn("Who?", "He."), Turn("Why?", "So."), captions=("a dog runs .",))

    def told(history: int, longest: int | None = None) -> list[tuple[str, str]]:
        found = segments_of(whole, encode, END, history=history, longest=longest)
        assert all(segment.target[-1] == END for segment in found)
        return [(bytes(s.suffix).decode(), bytes(s.target[:-1]).decode()) for s in found]

    first = [("\nCaption:", " A dog runs."), ("\nQuestion: Who?\nAnswer:", " He.")]
    assert told(0) == [*first, ("\nQuestion: Why?\nAnswer:", " So.")]
    assert told(1) == [*first, ("\nQuestion: Who?\nAnswer: He.\nQuestion: Why?\nAnswer:", " So.")]
    assert told(1, longest=30) == first


def test_questions_of_a_video_are_gathered() -> None:
    one, two, other = example(Turn("a", "b")), example(Turn("c", "d"), Turn("a", "b")), example(name="b.mp4")
    found = by_media([one, other, two])
    assert [(e.name, e.conversation) for e in found] == [("a.mp4", (Turn("a", "b"), Turn("c", "d"))), ("b.mp4", ())]
