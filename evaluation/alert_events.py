"""Alerts as a camera would raise them: the rule engine over all clips joined into one film, and over a quiet hour.

The film is what the program would see of a camera that shows one clip after another; an event is right where it shares
a second with a clip in which its rule is true. Events that touch only clips where nobody can say are left out. The
quiet hour is made of two surveillance clips shown over and over: their frames are encoded once, and the engine sees
3,600 seconds of them with times of their own.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evaluation.clips import Clip
from evaluation.moments import join_clips
from evaluation.rules import Rule
from llama_vid.llm.rules.rule import Rule as EngineRule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.second_look import LanguageLook
from llama_vid.llm.rules.watcher import AUTO, RuleWatcher, Scorer, Second
from llama_vid.memory.alerts import AlertChange
from llama_vid.recorder import BATCH, Recorder
from llama_vid.rule_tuning import events_at
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.seen import Seen

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle
    from llama_vid.llm.evidence import Finder

#: The quiet clips by their numbers, and the seconds that each is shown.
QUIET: Final = (17, 43)
EACH: Final = 1800

WAYS: Final = ("engine", "no_second_look", "no_debounce_no_second_look")

#: An event: its rule, and its seconds [start, end).
Event = tuple[str, float, float]


@dataclass(frozen=True, slots=True)
class Matched:
    """Events against labels: right and false ones, and (rule, clip) pairs found and wanted, of some rules and clips."""

    right: int
    false: int
    found: int
    wanted: int

    def to_json(self) -> dict[str, Any]:
        raised = self.right + self.false
        return {
            "precision": self.right / raised if raised else None,
            "recall": self.found / self.wanted if self.wanted else None,
            "events": raised,
            "false": self.false,
            "wanted": self.wanted,
        }


@dataclass(frozen=True, slots=True)
class EventFigures:
    """The joined film: the engine, the same without second looks, without debouncing as well; and the quiet hour."""

    engine: Matched
    even: Matched
    odd: Matched
    rules: dict[str, Matched]
    no_second_look: Matched
    plain: Matched
    wrong: tuple[str, ...]
    missed: tuple[str, ...]
    quiet: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        return self.engine.to_json() | {
            "even": self.even.to_json(),
            "odd": self.odd.to_json(),
            "rules": {name: matched.to_json() for name, matched in self.rules.items()},
            "no_second_look": self.no_second_look.to_json(),
            "no_debounce_no_second_look": self.plain.to_json(),
            "false_events": list(self.wrong),
            "missed": list(self.missed),
            "quiet_hour": self.quiet,
        }


@dataclass(frozen=True, slots=True)
class Labels:
    """Which clip each second of the film shows, and what is true there."""

    rules: dict[str, Rule]
    clips: Sequence[Clip]  # those that are in the film
    owners: Sequence[int]  # of each second, a place in `clips`

    def shown(self, event: Event) -> list[Clip]:
        """The clips that an event shares a second with, the one that it shares most with first."""
        first = min(len(self.owners) - 1, max(0, round(event[1])))
        covered = list(self.owners[first : max(first + 1, round(event[2]))])
        return [self.clips[owner] for owner in sorted(set(covered), key=lambda owner: (-covered.count(owner), owner))]

    def truth(self, event: Event) -> bool | None:
        """Whether an event is right; None where nobody can say."""
        truths = [self.rules[event[0]].truth(clip) for clip in self.shown(event)]
        return True if True in truths else None if None in truths else False

    def matched(
        self, events: Sequence[Event], rule: str | None = None, of: Callable[[Clip], bool] = lambda _clip: True
    ) -> Matched:
        """The counts over the events of one rule (None: all) whose clip is one `of` these, and the pairs in them."""
        own = [event for event in events if rule in (None, event[0])]
        truths = [self.truth(event) for event in own if of(self.shown(event)[0])]
        pairs = self.pairs(rule, of)
        found = sum(any(event[0] == name and clip in self.shown(event) for event in own) for name, clip in pairs)
        return Matched(truths.count(True), truths.count(False), found, len(pairs))

    def pairs(self, rule: str | None = None, of: Callable[[Clip], bool] = lambda _clip: True) -> list[tuple[str, Clip]]:
        """The (rule, clip) pairs in which the rule is true."""
        names = [rule] if rule is not None else list(self.rules)
        return [(name, clip) for name in names for clip in self.clips if self.rules[name].truth(clip) and of(clip)]


def measure_events(
    bundle: Bundle, find: Finder, rules: Sequence[Rule], clips: Sequence[Clip], tick: Callable[[], None] = lambda: None
) -> EventFigures:
    """The engine over the joined film, and over the quiet hour where the quiet clips are among them."""
    engine = [rule.engine for rule in rules]
    with tempfile.TemporaryDirectory(prefix="llama-vid-alerts-") as place:
        film = join_clips(clips, Path(place) / "joined.mp4", tick)
        seen = watch_frames(bundle, FileSource(film.path))
    labels = Labels({rule.name: rule for rule in rules}, [clips[number] for number in film.kept], film.owners)
    changes, seconds = run_rules(engine, seen, RuleScorer(bundle.scorer, bundle.tower), LanguageLook(find))
    events = kept_events(changes)
    by_second = {rule.name: [(each.start, each.end, each.scores[rule.name]) for each in seconds] for rule in engine}
    debounced = [(rule.name, *span) for rule in engine for span in events_at(rule, by_second[rule.name], AUTO)]
    plain = [(rule.name, *span) for rule in engine for span in undebounced(by_second[rule.name])]
    wrong = [event for event in events if labels.truth(event) is False]
    missed = [
        pair for pair in labels.pairs() if not any(e[0] == pair[0] and pair[1] in labels.shown(e) for e in events)
    ]
    return EventFigures(
        labels.matched(events),
        labels.matched(events, of=lambda clip: clip.index % 2 == 0),
        labels.matched(events, of=lambda clip: clip.index % 2 == 1),
        {rule.name: labels.matched(events, rule.name) for rule in rules},
        labels.matched(debounced),
        labels.matched(plain),
        tuple(f"{name} {start:.0f}–{end:.0f} s: {labels.shown((name, start, end))[0].path.name}"
              for name, start, end in wrong),
        tuple(f"{name}: {clip.path.name}" for name, clip in missed),
        quiet_hour(bundle, find, rules, [clip for clip in clips if clip.index in QUIET]),
    )  # fmt: skip


def watch_frames(bundle: Bundle, frames: Iterable[Frame]) -> list[Seen]:
    """Frames taken into a memory, as whoever watches along sees them."""
    seen: list[Seen] = []
    recorder = Recorder(bundle)
    recorder.on_seen = seen.append
    waiting = iter(frames)
    while batch := list(itertools.islice(waiting, BATCH)):
        recorder.add(batch)
    return seen


def run_rules(
    rules: Sequence[EngineRule], seen: Iterable[Seen], scorer: Scorer, look: LanguageLook | None
) -> tuple[list[AlertChange], list[Second]]:
    """All changes and scores of rules over frames, second looks taken as soon as an event begins."""
    watcher = RuleWatcher("film", rules, scorer, look, zone=UTC, epoch=None)
    changes: list[AlertChange] = []
    seconds: list[Second] = []
    for frame in seen:
        changes += watcher.see(frame)
        seconds.append(watcher.scores[-1])
        for found in watcher.look_again():
            changes += found
    return changes + watcher.finish(), seconds


def kept_events(changes: Sequence[AlertChange]) -> list[Event]:
    """The events that were not withdrawn."""
    ended = [change.event for change in changes if change.type == "end" and not change.event.withdrawn]
    return [(event.rule, event.start, event.end) for event in ended if event.end is not None]


def undebounced(scores: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """Every run of seconds that satisfy a rule is an event: what there would be without debouncing."""
    found: list[tuple[float, float]] = []
    for start, end, probability in scores:
        if probability < AUTO:
            continue
        if found and abs(found[-1][1] - start) < 0.01:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


class Remembered:
    """A scorer that scores each picture once, however often it is shown."""

    def __init__(self, scorer: RuleScorer) -> None:
        self._scorer = scorer
        self._known: dict[int, Sequence[float]] = {}

    def prepare(self, rules: Sequence[EngineRule]) -> None:
        """Take these rules from now on."""
        self._scorer.prepare(rules)
        self._known.clear()

    def score(self, seen: Seen) -> Sequence[float]:
        """The probability of every rule in a frame."""
        key = id(seen.embedding)  # the frames are held by the caller, so that it stays their own
        if key not in self._known:
            self._known[key] = self._scorer.score(seen)
        return self._known[key]

    def told(self, rule: EngineRule, seen: Seen) -> str:
        """An event in a sentence."""
        return self._scorer.told(rule, seen)


def quiet_hour(
    bundle: Bundle, find: Finder, rules: Sequence[Rule], clips: Sequence[Clip]
) -> dict[str, dict[str, float]]:
    """False events of the rules, as they are by default, over quiet clips shown again and again: the worst rule's and
    the mean, of the engine, without second looks, and without debouncing. Empty without such clips.
    """
    counts = {way: {rule.name: 0 for rule in rules} for way in WAYS}
    for clip in clips:
        wrong = {rule.name for rule in rules if rule.truth(clip) is False}
        engine = [EngineRule(rule.name, rule.when) for rule in rules if rule.name in wrong]
        frames = list(FileSource(clip.path))
        # The second showing has its cut from the first, as all that follow.
        twice = [replace(frame, seconds=float(at)) for at, frame in enumerate((*frames, *frames))]
        seen = watch_frames(bundle, twice)
        length = len(frames)
        hour = (
            replace(seen[at] if at < length else seen[length + at % length], seconds=float(at), end=at + 1.0)
            for at in range(EACH)
        )
        changes, seconds = run_rules(
            engine, hour, Remembered(RuleScorer(bundle.scorer, bundle.tower)), LanguageLook(find)
        )
        for name, _, _ in kept_events(changes):
            counts["engine"][name] += 1
        for rule in engine:
            scores = [(each.start, each.end, each.scores[rule.name]) for each in seconds]
            counts["no_second_look"][rule.name] += len(events_at(rule, scores, AUTO))
            counts["no_debounce_no_second_look"][rule.name] += len(undebounced(scores))
    if not clips:
        return {}
    return {
        way: {"worst_rule": float(max(of.values())), "mean": sum(of.values()) / len(of)}
        | {name: float(n) for name, n in of.items() if n}
        for way, of in counts.items()
    }
