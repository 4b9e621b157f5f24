"""A camera's rules at work: frames and words in, changes of events out, in the thread that owns the tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Final, Protocol

from llama_vid.llm.rules.album import Album
from llama_vid.llm.rules.debounce import Closed, Debouncer, Limits, Opened
from llama_vid.llm.rules.hearing import Heard, Line, heard_in
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.telling import heard_text
from llama_vid.memory.alerts import AlertChange, AlertEvent, event_id
from llama_vid.tokenizer.seen import Seen

#: Seconds of scores that are kept for whoever tries a rule: an hour.
KEPT: Final = 3600
#: The probability from which a frame satisfies a rule whose threshold is `auto`: even odds, as calibrated.
AUTO: Final = 0.5
#: The probability below which a second look takes an event back.
CONFIRMED: Final = 0.5


class Scorer(Protocol):
    """Gives rules' probabilities of frames (`RuleScorer`)."""

    def prepare(self, rules: Sequence[Rule]) -> None:
        """Take these rules from now on."""

    def score(self, seen: Seen) -> Sequence[float]:
        """The probability of every rule in a frame, in 0…1; 0 of those that only listen."""

    def told(self, rule: Rule, seen: Seen) -> str:
        """An event of a rule in a plain sentence, at once."""


class SecondLook(Protocol):
    """Asks the language model (`LanguageLook`)."""

    def looking(self, rule: Rule, album: Album) -> Generator[object, None, tuple[float, str]]:
        """Looks again at an event's best frames, in short steps: p(it is so) in 0…1, and the event's text."""


@dataclass(frozen=True, slots=True)
class Second:
    """How likely each rule was satisfied in a frame that stands for [start, end) seconds; by the rules' names."""

    start: float
    end: float
    scores: Mapping[str, float]


class RuleWatcher:
    """One camera's rules. Every call belongs to the thread that owns the tensors.

    `zone` is the time zone of schedules, which are judged by `seconds + epoch`: 0 for live cameras, whose clock is the
    epoch's; the time at which a recording began; None where nobody knows it, and schedules do not count. Without a
    `second_look` nothing is verified. While `paused`, nothing is raised, and what is open ends with the next frame.
    """

    def __init__(
        self,
        camera: str,
        rules: Sequence[Rule],
        scorer: Scorer,
        second_look: SecondLook | None = None,
        *,
        zone: tzinfo = UTC,
        epoch: float | None = 0.0,
    ) -> None:
        self.camera = camera
        self.paused = False
        self._scorer, self._second_look = scorer, second_look
        self._zone, self._epoch = zone, epoch
        self._watched: dict[str, _Watched] = {}
        self._scores: deque[Second] = deque(maxlen=KEPT)
        self._lines: deque[Line] = deque(maxlen=2)
        self._asked: deque[str] = deque()  # ids of events whose second look waits
        self._last: Seen | None = None
        self.apply(rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force."""
        return tuple(each.rule for each in self._watched.values())

    @property
    def scores(self) -> tuple[Second, ...]:
        """The last hour's scores, in time order."""
        return tuple(self._scores)

    @property
    def open(self) -> tuple[AlertEvent, ...]:
        """The open events."""
        return tuple(each.event for each in self._watched.values() if each.event is not None)

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its second look."""
        return bool(self._asked)

    def apply(self, rules: Sequence[Rule]) -> list[AlertChange]:
        """Take these rules from now on. Open events of unchanged rules stay open; those of others end here."""
        found: list[AlertChange] = []
        kept: dict[str, _Watched] = {}
        for rule in rules:
            old = self._watched.get(rule.name)
            kept[rule.name] = old if old is not None and old.rule == rule else _Watched(rule)
        for name, each in self._watched.items():
            if kept.get(name) is not each:
                found += self._stopped(each, self._end)
        self._watched = kept
        self._scorer.prepare(self.rules)
        return found

    def see(self, seen: Seen) -> list[AlertChange]:
        """What the next frame brings."""
        found: list[AlertChange] = []
        scores = self._scorer.score(seen)
        self._scores.append(Second(seen.seconds, seen.end, dict(zip(self._watched, scores, strict=True))))
        for each, probability in zip(self._watched.values(), scores, strict=True):
            if self.paused or not self._on(each.rule, seen.seconds):
                found += self._stopped(each, self._end if self._last is not None else seen.seconds)
                continue
            steps = each.debouncer.see(seen.seconds, seen.end, probability, gap=seen.gap)
            for step in steps:
                if isinstance(step, Closed):
                    found += self._closed(each, step)
            each.take(seen, probability)
            for step in steps:
                if isinstance(step, Opened):
                    found.append(self._opened(each, step))
        self._last = seen
        return found

    def hear(self, start: float, end: float, text: str) -> list[AlertChange]:
        """What the next finished line of the transcript brings; lines come in time order."""
        self._lines.append((start, end, text))
        found: list[AlertChange] = []
        for each in self._watched.values():
            if not each.rule.heard or self.paused or not self._on(each.rule, start):
                continue
            for match in [match for match in heard_in(each.rule.heard, self._lines) if match.end == end][:1]:
                at = max(end, self._end)
                for step in each.debouncer.insist(match.start, end, at):
                    found.append(self._opened(each, step, match))
        return found

    def forget(self, start: float, end: float) -> None:
        """Nothing that was seen or heard in [start, end) is kept; call `finish` before, where an event is open."""
        self._scores = deque(
            (each for each in self._scores if each.end <= start or each.start >= end), maxlen=self._scores.maxlen
        )
        self._lines = deque((line for line in self._lines if line[1] <= start or line[0] >= end), maxlen=2)
        for each in self._watched.values():
            if each.event is None:
                each.album = Album()

    def finish(self, at: float | None = None) -> list[AlertChange]:
        """Nothing more is seen for now (the camera is away, or closed): open events end where they were last seen."""
        end = self._end if at is None else at
        return [change for each in self._watched.values() for change in self._stopped(each, end)]

    def look_again(self) -> Generator[list[AlertChange], None, None]:
        """Second looks at the events that wait for one, in steps of a few hundred milliseconds at most.

        Run it where the language model may be used, when `waiting`; every item is what became of an event, mostly
        nothing. Frames may be seen between two steps.
        """
        while self._asked and self._second_look is not None:
            name = self._asked.popleft()
            each = next((each for each in self._watched.values() if each.event and each.event.id == name), None)
            if each is None or each.event is None:
                continue  # it is over already: what was not confirmed in time stays unverified
            work = self._second_look.looking(each.rule, each.album)
            try:
                while True:
                    next(work)
                    yield []
            except StopIteration as end:
                probability, text = end.value
            if each.event is not None and each.event.id == name:
                yield [self._looked_at(each, each.event, probability, text)]

    @property
    def _end(self) -> float:
        return self._last.end if self._last is not None else 0.0

    def _on(self, rule: Rule, seconds: float) -> bool:
        return self._epoch is None or rule.schedule.holds(seconds + self._epoch, self._zone)

    def _opened(self, each: _Watched, step: Opened, heard: Heard | None = None) -> AlertChange:
        best, score, text, frames = each.album.best, 1.0, "", each.album.pictures
        if heard is not None:
            text = heard_text(heard.phrase, heard.text)
            frames = frames or ((self._last.seconds,) if self._last is not None else ())
        elif best is not None:
            score, text = best.probability, self._scorer.told(each.rule, best.seen)
        each.event = AlertEvent(
            event_id(), self.camera, each.rule.name, text, step.start, None, score, frames=frames, before=step.before
        )
        if each.rule.verify and heard is None and self._second_look is not None:
            self._asked.append(each.event.id)
        return AlertChange("new", each.event, step.at)

    def _closed(self, each: _Watched, step: Closed) -> list[AlertChange]:
        event, each.event = each.event, None
        frames, each.album = each.album.pictures, Album()
        if event is None:
            return []
        return [AlertChange("end", replace(event, end=step.end, frames=frames or event.frames), step.at)]

    def _stopped(self, each: _Watched, at: float) -> list[AlertChange]:
        return [
            change
            for step in each.debouncer.stop(at)
            if isinstance(step, Closed)
            for change in self._closed(each, step)
        ]

    def _looked_at(self, each: _Watched, event: AlertEvent, probability: float, text: str) -> AlertChange:
        frames = each.album.pictures or event.frames
        if probability >= CONFIRMED:
            each.event = replace(event, verified=True, text=text or event.text, frames=frames)
            return AlertChange("update", each.event, self._end)
        end = each.debouncer.withdraw(event.score, self._end)
        each.event, each.album = None, Album()
        return AlertChange("end", replace(event, verified=False, end=end or self._end, frames=frames), self._end)


class _Watched:
    """One rule, where it stands, what is open of it, and the frames of what is or may become an event."""

    def __init__(self, rule: Rule) -> None:
        threshold = AUTO if rule.threshold is None else rule.threshold
        self.rule = rule
        self.debouncer = Debouncer(Limits(threshold, rule.hold, rule.cooldown))
        self.album = Album()
        self.event: AlertEvent | None = None

    def take(self, seen: Seen, probability: float) -> None:
        """Keep the frame if it shows what the rule watches for; an open event's score is the highest so far."""
        begun = self.debouncer.begun
        if begun is None:
            self.album = Album()
            return
        self.album.drop_before(begun)
        if probability >= self.debouncer.limits.release:
            self.album.add(seen, probability)
            if self.event is not None and probability > self.event.score:
                self.event = replace(self.event, score=probability)
