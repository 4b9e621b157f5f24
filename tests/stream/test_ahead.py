"""Decoding ahead: order, errors, room, and no thread left behind however the loop ends."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama_vid.errors import SourceError
from llama_vid.stream.ahead import ahead
from llama_vid.stream.file import AHEAD, FileSource
from tests.peers.video import make_video, painted_seconds

NAME = "maker"


@pytest.fixture(autouse=True)
def nobody_left_behind() -> Iterator[None]:
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name in (NAME, "film-decoder")]


class Made:
    """Numbers, with a record of how many were made, in which thread, and whether their maker was closed."""

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        self.count, self.fail_at = count, fail_at
        self.made = 0
        self.threads: set[str] = set()
        self.closed = threading.Event()
        self.reached = threading.Condition()

    def __call__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                if number == self.fail_at:
                    raise SourceError(f"number {number} is broken")
                with self.reached:
                    self.made += 1
                    self.threads.add(threading.current_thread().name)
                    self.reached.notify_all()
                yield number
        finally:
            self.threads.add(threading.current_thread().name)
            self.closed.set()

    def wait_made(self, count: int) -> None:
        with self.reached:
            assert self.reached.wait_for(lambda: self.made >= count, 10)


@pytest.mark.parametrize("count", [0, 1, 3, 100])
@pytest.mark.parametrize("room", [1, 4])
def test_all_items_come_in_order_from_another_thread(count: int, room: int) -> None:
    made = Made(count)
    assert list(ahead(made, room=room, name=NAME)) == list(range(count))
    assert made.closed.is_set()
    assert made.threads == {NAME}


def test_items_are_made_before_they_are_asked_for_but_not_more_than_there_is_room() -> None:
    made = Made(100)
    items = ahead(made, room=5, name=NAME)
    assert next(items) == 0
    made.wait_made(7)  # one taken, five waiting, one in the maker's hand
    assert next(items) == 1
    made.wait_made(8)
    assert made.made == 8
    assert list(items) == list(range(2, 100))


def test_an_error_comes_after_the_items_before_it() -> None:
    items = ahead(Made(10, fail_at=3), room=8, name=NAME)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(SourceError, match="number 3 is broken"):
        next(items)
    assert next(items, None) is None


def test_an_error_at_once() -> None:
    def broken() -> Iterator[int]:
        raise SourceError("there is nothing")

    with pytest.raises(SourceError, match="there is nothing"):
        list(ahead(broken, room=2, name=NAME))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_closes_the_maker_and_ends_its_thread(taken: int) -> None:
    made = Made(1000)
    items = ahead(made, room=3, name=NAME)
    for number in range(taken):
        assert next(items) == number
    close = getattr(items, "close")  # noqa: B009 - typed as an iterator, is a generator
    close()
    assert made.made <= taken + 4
    assert made.closed.is_set() == (taken > 0)  # one that was never begun has no thread
    assert not [thread for thread in threading.enumerate() if thread.name == NAME]


def test_an_exception_in_the_loop_ends_the_thread() -> None:
    made = Made(1000)

    def loop() -> None:
        for number in ahead(made, room=3, name=NAME):
            if number == 4:
                raise KeyError(number)

    with pytest.raises(KeyError):
        loop()
    gc.collect()
    assert made.closed.wait(10)


def test_a_film_left_early_leaves_nothing_open(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=60, fps=5, group=5)
    frames = iter(FileSource(path))
    assert [painted_seconds(next(frames).image) for _ in range(3)] == [0, 1, 2]
    del frames
    gc.collect()
    open_files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert path.resolve() not in open_files


def test_a_film_longer_than_the_room_comes_whole(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=3 * AHEAD, fps=4, group=8)
    source = FileSource(path)
    assert [painted_seconds(frame.image) for frame in source] == list(range(3 * AHEAD))
    assert source.duration == pytest.approx(3 * AHEAD)


def test_two_passes_over_one_film_at_once_do_not_mix(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=20, fps=5)
    source = FileSource(path)
    for one, other in zip(source, source, strict=True):
        assert painted_seconds(one.image) == painted_seconds(other.image) == one.seconds


def test_a_missing_film_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no file"):
        next(iter(FileSource(tmp_path / "none.mp4")))
