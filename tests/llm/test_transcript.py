"""Looking through a transcript: what matches, what may stand in the context, chapters, and what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llama_vid.llm import transcript
from llama_vid.llm.beside import HEARD_TOKENS, LINES, beside, fitting, line_text
from llama_vid.llm.layout import Segment
from llama_vid.llm.steps import finished
from llama_vid.llm.topic import Topic
from llama_vid.llm.transcript import Heard, Hit
from llama_vid.memory.budget import ANSWER_TOKENS
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.said import Said, encode, line

LINES_SAID = [
    "Printing differs from most of the arts and crafts.",
    "The printers of Mainz were many.",
    "The earliest book printed was the Gutenberg Bible.",
    "We shall come to that.",
]


def test_a_topics_words_are_found_in_other_forms_and_count_by_rarity() -> None:
    topic = Topic("the printing of the Gutenberg bibles", LINES_SAID)
    assert topic.words == ("printing", "gutenberg", "bibles")
    shares = [topic.share(text) for text in LINES_SAID]
    assert shares[2] == max(shares) > 0.85  # "printed" is not "printing", and nearly
    assert shares[0] > shares[1] > 0
    assert shares[3] == 0
    assert Topic("bibles of Gutenberg", LINES_SAID).named(LINES_SAID[2])
    assert not topic.named(LINES_SAID[2])
    assert Topic("Gutenberg", LINES_SAID).mentions("Gutenberg, said the Bible, Gutenberg") == 2
    assert Topic("to be or not to be", ["Whether to be or not to be."]).named("Whether to be or not to be.")


def test_lines_are_ranked_and_what_is_far_is_left_out() -> None:
    heard = Heard(Said([line(10.0 * n, text) for n, text in enumerate(LINES_SAID)]), encode)
    found = finished(heard.matching(heard.lines(), "the Gutenberg Bible"))
    assert [hit.number for hit in found] == [2]
    assert found[0].worded
    assert finished(heard.matching(heard.lines(), "football")) == []
    moments = finished(heard.moments("the Gutenberg Bible", 0.0, 100.0, 5))
    assert [(moment.start, moment.heard) for moment in moments] == [(20.0, LINES_SAID[2])]
    assert finished(heard.moments("the Gutenberg Bible", 0.0, 15.0, 5)) == []


def test_of_a_long_transcript_only_some_lines_are_compared_by_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "COMPARED", 3)
    encoded: list[str] = []

    def counting(texts: Sequence[str]) -> torch.Tensor:
        encoded.extend(texts)
        return encode(texts)

    lines = [line(10.0 * n, f"Sentence number {n} of the day.") for n in range(20)]
    heard = Heard(Said([line(0.0, "A penguin walked in."), *lines]), counting)
    assert [hit.number for hit in finished(heard.matching(heard.lines(), "penguin"))] == [0]
    assert len(set(encoded)) == 5  # the topic, the line that names it, and the newest three
    encoded.clear()
    finished(heard.matching(heard.lines(), "penguin"))
    assert encoded == ["penguin"]  # lines are remembered
    heard.forget()
    finished(heard.matching(heard.lines(), "penguin"))
    assert len(encoded) == 6


def words(text: str) -> list[str]:
    return text.split()


hits = st.lists(
    st.builds(
        lambda start, count, score: Hit(line(start, " ".join(["word"] * count)), int(start), score),
        st.floats(0, 1000),
        st.integers(1, 250),
        st.floats(0.45, 1),
    ),
    max_size=6,
    unique_by=lambda hit: hit.line.start,
)


@given(hits, st.integers(0, 200))
def test_lines_never_take_more_of_the_context_than_their_share(found: list[Hit], limit: int) -> None:
    taken = fitting(found, words, limit)
    assert sum(len(words(text)) for _, text in taken) <= limit
    assert len(taken) <= LINES
    assert [hit.line.start for hit, _ in taken] == sorted(hit.line.start for hit, _ in taken)
    # The best come first, and none is passed over for a worse one.
    assert sorted(found.index(hit) for hit, _ in taken) == list(range(len(taken)))


def test_the_share_is_what_answers_leave_and_a_long_line_is_shortened() -> None:
    from llama_vid.llm.described import ANSWER_TOKENS as LONGEST

    assert HEARD_TOKENS + LONGEST <= ANSWER_TOKENS
    ((_, text),) = fitting([Hit(line(0.0, " ".join(f"w{n}" for n in range(500))), 0, 0.9)], words)
    assert len(words(text)) <= HEARD_TOKENS
    assert "w0 " in text
    assert "w499" in text


def test_a_line_stands_behind_the_frame_of_its_time() -> None:
    pair = TokenPair(torch.zeros(4), torch.zeros(4), 0.0, False, False)
    frames = [(float(at), at + 1.0, pair) for at in (0, 10, 20)]
    spoken = [(Hit(line(8.0, "about ten"), 0, 0.9), "ten"), (Hit(line(19.5, "and twenty"), 1, 0.9), "twenty")]
    segments: list[Segment] = beside(frames, spoken)
    assert [each if isinstance(each, str) else "pair" for each in segments] == ["pair", "pair", "ten", "pair", "twenty"]
    assert line_text("Hello") == ' Heard: "Hello"\n'


def test_chapters_are_the_same_whichever_span_is_asked_for() -> None:
    dogs = [line(20.0 * n, f"Dogs and puppies bark at the postman number {n} every day.") for n in range(10)]
    ships = [line(200.0 + 20.0 * n, f"Ships and sailors cross the ocean number {n} in storms.") for n in range(10)]
    evening = [line(9000.0 + 20.0 * n, f"Stars and planets shine at night number {n} for us.") for n in range(5)]
    heard = Heard(Said([*dogs, *ships, *evening]), encode)
    everything = finished(heard.chapters(float("-inf"), float("inf"), []))
    assert [round(each.start) for each in everything] == [0, 200, 9000]
    assert finished(heard.chapters(250.0, 300.0, [])) == everything[1:2]
    assert finished(heard.chapters(5000.0, 6000.0, [])) == []
