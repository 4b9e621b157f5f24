"""Cues: two short lines, sensible breaks, monotone; and the formats, read by parsers that are not ours."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_vid.clients.captions.cues import LINE, Cue, CueMaker, break_lines
from llama_vid.clients.captions.files import open_caption_file
from llama_vid.clients.captions.hls import HlsCaptions, master, media_tag
from llama_vid.clients.captions.srt import srt
from llama_vid.clients.captions.vtt import timestamp, vtt
from llama_vid.errors import ConfigError
from llama_vid.llm.speech.words import Word

SPEECH = (
    "Printing, in the only sense with which we are at present concerned, differs from most if not from all the arts "
    "and crafts represented in the Exhibition in being comparatively modern. For although the Chinese took impressions "
    "from wood blocks engraved in relief for centuries before the woodcutters of the Netherlands, by a similar process "
    "produced the block books, the invention of movable metal letters may justly be considered as the invention of the "
    "art of printing. Yes. And it is worth mention in passing."
)


def spoken(text: str, first: float = 0.0, each: float = 0.4) -> list[Word]:
    return [Word(first + n * each, first + (n + 0.9) * each, w, 0.8) for n, w in enumerate(text.split())]


def cues_of(words: list[Word], batch: int = 3) -> list[Cue]:
    maker, cues = CueMaker(), list[Cue]()
    for at in range(0, len(words), batch):
        cues += maker.push(words[at : at + batch])
    return cues + maker.finish()


def check(cues: list[Cue], words: list[Word]) -> None:
    assert "".join(cue.text for cue in cues).replace(" ", "") == "".join(word.text for word in words)
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= LINE for line in cue.lines)
        assert cue.start < cue.end
        assert cue.words
    for before, after in pairwise(cues):
        assert before.end <= after.start


@pytest.mark.parametrize("batch", [1, 4, 1000])
def test_a_speech_becomes_cues_that_end_where_the_sense_does(batch: int) -> None:
    words = spoken(SPEECH)
    cues = cues_of(words, batch)
    check(cues, words)
    assert cues == cues_of(words, 7), "how words come in makes no difference"
    lines = [line for cue in cues for line in cue.lines]
    assert not [line for line in lines if line.split()[-1].lower() in ("the", "a", "of", "and")]
    assert [cue for cue in cues if cue.text.endswith("comparatively modern.")]


texts = st.text(st.characters(blacklist_categories=("Cs", "Zs", "Cc", "Zl", "Zp")), min_size=1, max_size=60)
pauses = st.floats(0, 3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(texts, pauses, st.floats(0, 1.5)), max_size=40))
def test_any_words_make_cues_within_the_limits(said: list[tuple[str, float, float]]) -> None:
    words, at = [], 0.0
    for text, pause, length in said:
        words.append(Word(at + pause, at + pause + length, text, 0.5))
        at += pause + length
    cues = cues_of(words)
    check(cues, words)
    parsed = webvtt.from_buffer(io.StringIO(vtt(cues)))
    assert len(parsed) == len(cues)


def test_a_pause_ends_a_cue_and_time_alone_does_too() -> None:
    maker = CueMaker()
    assert maker.push(spoken("Good morning")) == []
    assert maker.tick(1.0) == []
    (cue,) = maker.tick(3.0)
    assert (cue.text, cue.start) == ("Good morning", 0.0)
    assert cue.end == pytest.approx(0.76 + 0.8)
    assert maker.finish() == []
    (first,) = maker.push([*spoken("one two", 10.0), *spoken("three", 14.0)])
    assert first.text == "one two"


def test_lines_break_behind_marks_and_before_small_words() -> None:
    assert break_lines(["We", "shall", "go", "on", "to", "the", "end,", "we", "shall", "fight", "in", "France"]) == (
        "We shall go on to the end,",
        "we shall fight in France",
    )
    assert break_lines(["short"]) == ("short",)
    assert break_lines(["x" * 30, "y" * 30, "z" * 30]) == ()


def test_webvtt_is_read_by_another_parser() -> None:
    words = spoken("Tom & Jerry <b>say</b> a --> b, and go on for a while until it is enough. The end", first=3661.5)
    cues = cues_of(words)
    text = vtt(cues, note="made by a test --> really")
    parsed = list(webvtt.from_buffer(io.StringIO(text)))
    assert [cue.start for cue in parsed] == [timestamp(cue.start) for cue in cues]
    assert parsed[0].start == "01:01:01.500"
    assert "<" not in text.replace("-->", "")
    assert "&lt;b&gt;say" in text
    assert vtt(cues, origin=3661.5).splitlines()[2].startswith("00:00:00.000 --> ")


def test_srt_is_read_by_another_parser(tmp_path: Path) -> None:
    cues = cues_of(spoken(SPEECH))
    path = tmp_path / "a.srt"
    path.write_text(srt(cues))
    parsed = list(webvtt.from_srt(path))
    assert [cue.text.replace("\n", " ") for cue in parsed] == [cue.text for cue in cues]
    assert path.read_text().startswith("1\n00:00:00,000 --> ")


def test_a_file_only_ever_grows(tmp_path: Path) -> None:
    words = spoken(SPEECH)
    for suffix in (".vtt", ".srt"):
        path = tmp_path / f"live{suffix}"
        file, maker, before = open_caption_file(path), CueMaker(), ""
        for word in words:
            for cue in maker.push([word]):
                file.add(cue)
            now = path.read_text()
            assert now.startswith(before)
            before = now
        for cue in maker.finish():
            file.add(cue)
        file.close()
        assert path.read_text() == (vtt if suffix == ".vtt" else srt)(cues_of(words))


def test_json_has_the_time_of_every_word(tmp_path: Path) -> None:
    words = spoken(SPEECH)
    path = tmp_path / "a.json"
    file = open_caption_file(path)
    assert json.loads(path.read_text()) == {"cues": []}
    for cue in cues_of(words):
        file.add(cue)
        json.loads(path.read_text())
    file.close()
    found = [word for cue in json.loads(path.read_text())["cues"] for word in cue["words"]]
    assert [word["text"] for word in found] == SPEECH.split()
    assert found[3] == {"start": 1.2, "end": 1.56, "text": "only", "probability": 0.8}


@pytest.mark.parametrize(("name", "what"), [("a.txt", ".vtt, .srt"), ("none/a.vtt", "no folder")])
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(what)):
        open_caption_file(tmp_path / name)


def test_hls_lists_whole_segments_and_each_cue_in_all_that_it_touches() -> None:
    hls = HlsCaptions(100.0, segment_s=6.0, mpegts=900_000)
    hls.add(Cue(101.0, 103.0, ("one",)))
    hls.add(Cue(105.0, 107.5, ("two", "lines")))
    assert hls.segments == range(0)
    hls.advance(113.0)
    assert hls.segments == range(2)
    first, second = hls.segment(0), hls.segment(1)
    assert first.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n")
    assert "00:00:05.000 --> 00:00:07.500\ntwo\nlines" in first
    assert "two\nlines" in second
    assert "one" not in second
    for text in (first, second):
        assert len(webvtt.from_buffer(io.StringIO(text.replace("X-TIMESTAMP-MAP", "NOTE X-TIMESTAMP-MAP")))) >= 1
    with pytest.raises(KeyError):
        hls.segment(2)
    assert "#EXT-X-ENDLIST" not in hls.playlist()
    hls.finish(115.0)
    assert hls.playlist().splitlines()[-3:] == ["#EXTINF:3.000,", "captions-000002.vtt", "#EXT-X-ENDLIST"]


def test_a_live_rendition_slides_and_names_its_times() -> None:
    hls = HlsCaptions(1_000_000_000.0, segment_s=6.0, keep=3, wall=True)
    for n in range(20):
        hls.add(Cue(1_000_000_000.0 + 3 * n, 1_000_000_000.0 + 3 * n + 2, (f"cue {n}",)))
    assert hls.segments == range(6, 9)
    playlist = hls.playlist()
    assert "#EXT-X-MEDIA-SEQUENCE:6" in playlist
    assert "#EXT-X-PROGRAM-DATE-TIME:2001-09-09T01:47:16.000Z" in playlist
    with pytest.raises(KeyError):
        hls.segment(5)
    assert "cue 12" in hls.segment(6)


def test_a_master_playlist_names_the_rendition() -> None:
    text = master("video.m3u8", "captions.m3u8")
    assert media_tag("captions.m3u8") in text
    assert "TYPE=SUBTITLES" in text
    assert 'SUBTITLES="captions"\nvideo.m3u8' in text
