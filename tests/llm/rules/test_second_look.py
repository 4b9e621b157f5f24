"""The second look: pictures and tokens together decide, the best frames are read, and a confirmed event is told."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import pytest

from llama_vid.llm.rules.album import Album
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.second_look import READ, LanguageLook
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.rules.frames import seen

DOG = Rule("dog", "a dog.")


class Finder:
    """A language model that says yes by so much."""

    def __init__(self, margin_: float) -> None:
        self.said = margin_
        self.asked: list[tuple[int, str]] = []

    def margining(self, pairs: Sequence[TokenPair], question: str) -> Generator[None, None, float]:
        yield from ()
        self.asked.append((len(pairs), question))
        return self.said

    def captioning(self, entry: Any) -> Generator[None, None, str]:
        yield
        return f"a picture at {entry.start:g}"


def looked(album: Album, margin: float) -> tuple[float, str, int, Finder]:
    finder = Finder(margin)
    work = LanguageLook(finder).looking(DOG, album)  # type: ignore[arg-type]
    steps = 0
    while True:
        try:
            next(work)
            steps += 1
        except StopIteration as end:
            return (*end.value, steps, finder)


def album(*values: float) -> Album:
    found = Album()
    for at, value in enumerate(values):
        found.add(seen(float(at)), value)
    return found


def test_a_yes_confirms_and_tells_the_best_frame() -> None:
    p, text, steps, finder = looked(album(0.6, 0.9, 0.7, 0.8, 0.65, 0.55), 2.0)
    assert p > 0.5
    assert text == "Seen: a dog. A picture at 1."
    assert finder.asked == [(READ, "Is there a dog in the video?")]
    assert steps == 3, "short steps, between which others have their turn"


def test_a_clear_no_withdraws_what_pictures_alone_made_likely() -> None:
    p, text, _, _ = looked(album(0.6, 0.6), -6.0)
    assert p < 0.5
    assert text == ""


def test_sure_pictures_outweigh_a_no() -> None:
    assert looked(album(0.99, 0.99), -4.0)[0] > 0.5 > looked(album(0.52, 0.52), -4.0)[0]


def test_an_event_without_pictures_is_left_alone() -> None:
    assert looked(Album(), -9.0)[:2] == (1.0, "")


@pytest.mark.parametrize("count", [1, 2, 12])
def test_an_album_keeps_the_best_and_forgets_what_came_before(count: int) -> None:
    kept = album(*[0.5 + at / 100 for at in range(count)])
    assert len(kept) == min(8, count)
    assert [shown.seen.seconds for shown in kept] == [float(at) for at in range(max(0, count - 8), count)]
    kept.drop_before(count - 1.0)
    assert [shown.seen.seconds for shown in kept] == [count - 1.0]
    assert kept.pictures == (count - 1.0,)
