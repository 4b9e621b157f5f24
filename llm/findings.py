"""What memory finds for a question, to be read by a bigger model: the frames to look at, and notes about their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from llama_vid.llm.answer import Evidence, Span
from llama_vid.llm.evidence import Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.questions import QuestionKind
from llama_vid.llm.scenes import Scene, scenes
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.entry import MemoryEntry

#: Cosine of two frames above which a second one shows nothing new.
ALIKE: Final = 0.985
#: z-scores below the best frame that still count as moments of what the question is about.
NEAR_BEST: Final = 1.0

#: The captioned scenes, and the alert events, that share time with [start, end].
Told = Callable[[float, float], Sequence[Span]]
Events = Callable[[float, float], Sequence[AlertEvent]]


@dataclass(frozen=True, slots=True)
class Note:
    """A line about [start, end]: a scene, a sentence that was said, an alert. `near`: it bears on the question.

    A scene's `seen` stands for its text where a frame of it is shown: the frame tells more, and is right.
    """

    start: float
    end: float
    when: str
    text: str
    near: bool = False
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Still:
    """A frame to look at: the entry's time [start, end], that in words, and how well it matches (0…1)."""

    start: float
    end: float
    when: str
    score: float
    caption: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that may bear on a question. `about` is the time that was watched, `asked` the time that the question
    names ("" for none), `now` a live camera's present ("" for a recording). All lists are in time order.
    """

    question: str
    kind: QuestionKind
    subject: str
    about: str
    asked: str = ""
    now: str = ""
    stills: tuple[Still, ...] = ()
    scenes: tuple[Note, ...] = ()
    said: tuple[Note, ...] = ()
    events: tuple[Note, ...] = ()

    @property
    def offered(self) -> list[Evidence]:
        """Every span that an answer may cite, frames first."""
        frames = [Evidence(still.start, still.end, still.score, still.caption) for still in self.stills]
        heard = [Evidence(note.start, note.end, 1.0, f"“{note.text}”") for note in self.said]
        notes = [Evidence(note.start, note.end, 1.0, note.text) for note in (*self.events, *self.scenes)]
        return [*frames, *heard, *notes]


def chosen(entries: Sequence[MemoryEntry], z: Tensor, kind: QuestionKind, count: int) -> list[int]:
    """The numbers of at most `count` entries whose frames are shown, ascending.

    Of a summary the scenes that last longest and move most, one frame each; of a change the first and the last frame;
    of all else the moments that match best by `z` (N,), with the beginning and the end of the best one, and the newest
    frame. What is left of `count` lies evenly in the time between. A frame that looks like one that was chosen already
    is left out: of a still camera one frame says all.
    """
    if not entries or count < 1:
        return []
    last = len(entries) - 1
    if kind is QuestionKind.SUMMARY:
        wanted = _telling(entries, count)
    elif kind is QuestionKind.CHANGE:
        wanted = [0, last]
    else:
        runs = Finder.events(entries, z, float(z.max()) - NEAR_BEST)
        peaks = [first + int(z[first : stop + 1].argmax()) for first, stop in runs]
        wanted = [*peaks[:1], last, *runs[0], *peaks[1 : max(2, count // 2)]]
    found: list[int] = []
    for index in dict.fromkeys([*wanted, *_spread(last, count)]):
        if len(found) == count:
            break
        new = entries[index].embedding.float()
        if all(float(new @ entries[known].embedding.float()) < ALIKE for known in found):
            found.append(index)
    return sorted(found)


def _telling(entries: Sequence[MemoryEntry], count: int) -> list[int]:
    def weight(scene: Scene) -> float:
        return (scene.end - scene.start) * (1 + 2 * scene.motion)

    return [scene.told for scene in sorted(scenes(entries), key=weight, reverse=True)[:count]]


def _spread(last: int, count: int) -> list[int]:
    """Numbers in 0…last: halves, then quarters, and so on, so that any first few of them lie evenly."""
    found, parts = [0, last], 2
    while parts <= 2 * count:
        found += [round(last * part / parts) for part in range(1, parts, 2)]
        parts *= 2
    return found


def watched_words(inquiry: Inquiry) -> str:
    """The time that memory covers, in words."""
    entries = inquiry.watched.entries
    return inquiry.stretch(entries[0].start, entries[-1].end) if entries else ""


def thinned(notes: Sequence[Note], most: int) -> list[Note]:
    """At most `most` notes in time order: those that bear on the question first, others evenly between them."""
    if len(notes) <= most:
        return list(notes)
    near = [number for number, note in enumerate(notes) if note.near][:most]
    others = [number for number in range(len(notes)) if number not in set(near)]
    room = most - len(near)
    step = len(others) / room if room else 0.0
    return [notes[number] for number in sorted([*near, *(others[int(at * step)] for at in range(room))])]
