"""Alert rules over a recording, as they would have fired: events, and the scores of every second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from llama_vid.bundle import Bundle
from llama_vid.llm.evidence import Finder
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.second_look import LanguageLook
from llama_vid.llm.rules.watcher import RuleWatcher, Scorer, Second
from llama_vid.memory.alerts import AlertChange
from llama_vid.recorder import BATCH, Recorder
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.seen import Seen


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one batch of frames: changes and scores in time order."""

    changes: tuple[AlertChange, ...]
    seconds: tuple[Second, ...]


class RuleReplay:
    """Rules over frames that come as fast as they can be read.

    A second look is taken as soon as its event begins, so that the same recording always gives the same. `epoch` is
    when the recording began (UTC seconds), for schedules; None where nobody knows, and schedules do not count.
    """

    def __init__(
        self,
        bundle: Bundle,
        finder: Finder,
        rules: Sequence[Rule],
        *,
        camera: str,
        zone: tzinfo,
        epoch: float | None = None,
        verify: bool = True,
        scorer: Scorer | None = None,
    ) -> None:
        self._recorder = Recorder(bundle)
        self._watcher = RuleWatcher(
            camera,
            rules if verify else [replace(rule, verify=False) for rule in rules],
            scorer or RuleScorer(bundle.scorer, bundle.tower),
            LanguageLook(finder) if verify else None,
            zone=zone,
            epoch=epoch,
        )
        self._changes: list[AlertChange] = []
        self._seconds: list[Second] = []
        self._recorder.on_seen = self._see

    def run(self, frames: Iterable[Frame], watched: Callable[[float], None] = lambda _s: None) -> Iterator[Replayed]:
        """What each batch of frames brings, and at last the ends of what is still open."""
        batch: list[Frame] = []
        for frame in frames:
            batch.append(frame)
            if len(batch) == BATCH:
                yield self._took(batch)
                watched(batch[-1].seconds)
                batch = []
        if batch:
            yield self._took(batch)
        yield Replayed(tuple(self._watcher.finish()), ())

    def _took(self, batch: Sequence[Frame]) -> Replayed:
        self._changes, self._seconds = [], []
        self._recorder.add(batch)
        return Replayed(tuple(self._changes), tuple(self._seconds))

    def _see(self, seen: Seen) -> None:
        self._changes += self._watcher.see(seen)
        self._seconds.append(self._watcher.scores[-1])
        while self._watcher.waiting:
            for changes in self._watcher.look_again():
                self._changes += changes
