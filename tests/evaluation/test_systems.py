"""Systems side by side: options, what is kept of a run, and figures that count right."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evaluation import systems
from evaluation.clips import Clip
from evaluation.systems import compare
from evaluation.systems_figures import Judging, Share, figures
from evaluation.systems_options import SYSTEMS, by_system, check, chosen, counts, is_comparison
from evaluation.systems_record import Record, Records, Said
from evaluation.systems_run import HOPELESS, Examined, Heard, Limited, Question, Seen, examined, measure, peak_memory
from evaluation.systems_table import lines_of, markdown
from llama_vid.errors import ConfigError, SourceError
from tests.evaluation.dying import killed
from tests.evaluation.question_sets import clip, write_folder

CLIPS = [
    Examined(
        Clip(number, Path(f"{number}.mp4"), 6.0, "", kind=("animal", "people")[number % 2]),
        (Question("yesno", "Is there a dog?", "yes"), Question("yesno", f"Is there a {number}?", "no")),
    )
    for number in range(4)
]


@dataclass
class Yes:
    """Says yes to everything; fails on the clips named in `fails` by what it is told, stops after `most` answers."""

    identity: str = "yes"
    label: str = "a model that says yes"
    notes: str = "one frame"
    fails: dict[str, Exception] = field(default_factory=dict)
    most: int = 1000
    asked: list[str] = field(default_factory=list)
    sighted: bool = True

    def take(self, clip: Path) -> None:
        if clip.name in self.fails:
            raise self.fails[clip.name]

    def answer(self, asked: str, question: str) -> Heard:
        if len(self.asked) >= self.most:
            raise Limited
        self.asked.append(question)
        return Heard("Yes.", None, 0.5)

    def blind(self, asked: str, question: str) -> Heard | None:
        return Heard("No") if self.sighted else None

    def seen(self) -> Seen:
        return Seen(5, 40)


def figures_of(records: Records, identity: str = "yes"):  # type: ignore[no-untyped-def]
    return figures("yes", "label", "notes", CLIPS, records.of(identity), Judging())


def test_names_of_systems() -> None:
    assert chosen(["ours,full", "ours", " openai "]) == ("ours", "full", "openai")
    assert is_comparison(("ours",))
    assert is_comparison(("full", "openai"))
    assert not is_comparison(("full",))  # one column of an evaluation, as ever
    assert not is_comparison(("blind",))


def test_values_go_to_their_systems() -> None:
    assert by_system(["video-llama=a=b", "openai=m"], SYSTEMS, "--weights") == {"video-llama": "a=b", "openai": "m"}
    assert by_system(["a/b=c"], ("ours", "video-llama"), "--weights") == {"video-llama": "a/b=c"}
    with pytest.raises(ConfigError, match="does not say for which system"):
        by_system(["folder"], SYSTEMS, "--weights")
    with pytest.raises(ConfigError, match="openai is not among the systems"):
        by_system(["openai=m"], ("ours", "video-llama"), "--weights")
    with pytest.raises(ConfigError, match="nothing stands after"):
        by_system(["openai="], ("openai",), "--weights")
    assert counts({"openai": "4"}) == {"openai": 4}
    with pytest.raises(ConfigError, match="whole number of frames"):
        counts({"openai": "0"})


@pytest.mark.parametrize(
    ("name", "names", "message"),
    [
        ("yesno", ("ours", "gemini"), "no system 'gemini' can stand beside others; known: ours, full"),
        ("sofar", ("ours",), "is for yesno, open and all, not for sofar"),
        ("yesno", ("openai",), "--system openai needs --weights openai="),
    ],
)
def test_wrong_options_are_refused(name: str, names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        check(name, names, tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        check("all", ("ours",), tmp_path / "gone")


def test_clips_are_spread_with_all_their_questions(tmp_path: Path) -> None:
    asked = [(f"{number}.mp4", thing, "yes") for number in range(4) for thing in ("dog", "cat")]
    rows = [clip(number, qa=[("What colour is it?", "Blue.")]) for number in range(5)]
    options = check("", ("full", "ours"), write_folder(tmp_path, rows, yesno=asked), limit=2)
    assert options.systems == ("ours", "full")  # the table's order
    found = examined(options)
    assert [each.clip.index for each in found] == [0, 2]
    assert [question.asked for question in found[0].questions] == ["yesno", "yesno", "open"]


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    records = Records(tmp_path / "out" / "yes.jsonl")
    first = Yes(most=4)
    measure(first, CLIPS, records)
    assert len(first.asked) == 4
    assert (figures_of(records).clips, figures_of(records).left) == (2, 2)
    records.path.write_bytes(records.path.read_bytes() + b'{"of": "yes", "clip": "2.m')  # killed while it wrote
    second = Yes()
    measure(second, CLIPS, records)
    assert second.asked == ["Is there a dog?", "Is there a 2?", "Is there a dog?", "Is there a 3?"]
    assert figures_of(records).left == 0
    other = Yes(identity="yes, with other weights")
    measure(other, CLIPS, records)
    assert len(other.asked) == 8
    assert len(records.of("yes")) == len(records.of(other.identity)) == 5


def test_a_clip_that_fails_counts_as_wrong_and_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = Records(tmp_path / "yes.jsonl")
    fails: dict[str, Exception] = {"1.mp4": SourceError("no video"), "3.mp4": RuntimeError("out of\nmemory")}
    with caplog.at_level(logging.WARNING):
        measure(Yes(fails=fails), CLIPS, records)
    assert "1.mp4: no video" in caplog.text
    found = figures_of(records)
    assert found.failed == {"1.mp4": "no video", "3.mp4": "RuntimeError: out of"}
    assert found.right["yesno"] == Share(2, 8)
    measure(Yes(), CLIPS, records)
    assert (figures_of(records).failed, figures_of(records).right["yesno"]) == ({}, Share(4, 8))


def test_a_system_that_fails_everywhere_is_given_up(tmp_path: Path) -> None:
    clips = [Examined(Clip(n, Path(f"{n}.mp4"), 1.0, ""), CLIPS[0].questions) for n in range(HOPELESS + 3)]
    broken = Yes(fails={f"{n}.mp4": RuntimeError(f"out of memory: {n}.5 GiB") for n in range(HOPELESS + 3)})
    records = Records(tmp_path / "yes.jsonl")
    with pytest.raises(ConfigError, match=r"5 clips in a row failed alike.*RuntimeError: out of memory"):
        measure(broken, clips, records)
    assert len([record for record in records.of("yes").values() if record.failed]) == HOPELESS


def test_figures_count_right(tmp_path: Path) -> None:
    records = Records(tmp_path / "yes.jsonl")
    measure(Yes(), CLIPS, records)
    found = figures_of(records)
    assert found.right["yesno"] == found.blind["yesno"] == Share(4, 8)
    assert {kind: share.n for kind, share in found.kinds["yesno"].items()} == {"animal": 4, "people": 4}
    assert (found.frames, found.tokens_per_frame, found.tokens_per_hour) == (5.0, 8.0, 28_800.0)
    assert found.question_s == {"yesno": 0.5}
    told = found.to_json()["yesno"]
    assert (told["accuracy"], told["n"]) == (0.5, 8)
    assert (told["low"], told["high"]) == (pytest.approx(0.215, abs=0.001), pytest.approx(0.785, abs=0.001))
    records = Records(tmp_path / "other.jsonl")
    measure(Yes(sighted=False), CLIPS, records)
    assert figures_of(records).blind == {}


def test_yes_or_no_by_probability_and_by_the_first_word() -> None:
    question = Question("yesno", "Is there a dog?", "yes")
    judging = Judging()
    assert judging.right(question, "No", 0.5)
    assert judging.right(question, "yes, there is")
    assert not judging.right(question, "There is one")
    assert not judging.right(Question("yesno", "Is there a dog?", "no"), "")  # neither: wrong


def test_shares_have_intervals() -> None:
    assert Share(0, 0).interval is None
    low, high = Share(10, 10).interval or (0, 0)
    assert (low, high) == pytest.approx((0.722, 1.0), abs=0.001)


def test_the_table_says_what_each_system_is(tmp_path: Path) -> None:
    records = Records(tmp_path / "yes.jsonl")
    measure(Yes(most=6, fails={"0.mp4": SourceError("no video")}), CLIPS, records)
    whole = figures("no", "another", "all", CLIPS, records.of("yes") | {"3.mp4": Record("yes", "3.mp4")}, Judging())
    part = figures("yes", "a model", "8 frames", CLIPS[:2], records.of("yes"), Judging())
    text = markdown("title", [part, whole], [("openai", "no key")])
    assert "| | yes | no |" in text
    assert "| tokens an hour at 1 FPS | 28,800 | 28,800 |" in text
    assert "peak GPU memory" not in text
    assert "- yes: a model; 8 frames" in text
    assert "- yes: 0.mp4 failed: no video" in text
    assert "- openai has no figures: no key" in text
    assert any("different numbers of clips" in line for line in lines_of([part, whole], []))


def test_peak_memory_is_this_process_own() -> None:
    rss, _ = peak_memory()
    assert 50e6 < rss < 50e9


def test_each_system_has_a_process_of_its_own(tmp_path: Path) -> None:
    """One that cannot be loaded there is told and stops nobody; the folder gets its table all the same."""
    write_folder(tmp_path, [clip(0)], yesno=[("0.mp4", "dog", "yes")])
    places = [f"video-llama={tmp_path / 'gone'}"]
    options = check("yesno", ("video-llama",), tmp_path, out=tmp_path / "out", weights=places)
    said: list[str] = []
    result = compare(options, said.append, apart=True)
    assert said == [name for name, _ in result.missing] == ["video-llama"]
    assert all("gone" in why and "--weights" in why for _, why in result.missing)
    assert "video-llama has no figures" in (tmp_path / "out" / "table.md").read_text()


def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, [clip(0)], yesno=[("0.mp4", "dog", "yes")])
    options = check("yesno", ("ours",), tmp_path, out=tmp_path / "out")
    monkeypatch.setattr(systems, "_child", killed)
    result = compare(options, apart=True)
    assert "its process ended with signal 9, as for want of memory" in result.missing[0][1]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    records = Records(tmp_path / "a.jsonl")
    record = Record("x", "a.mp4", 3, None, 0.5, (Said("open", "What?", "Ünïcode\nand \u2028 lines", 0.1, 0.25),), rss=7)
    records.add(record)
    assert records.of("x") == {"a.mp4": record}
