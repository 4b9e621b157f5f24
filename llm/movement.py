"""Questions about movement and cuts, answered from what memory holds of every frame: its motion energy and its scene.

"Is anything moving?", "When does the scene change?", "How long was it still?", "Did the camera move?" need no picture:
the compressor has measured how much changed from frame to frame (`tokenizer/change.py`) and where a scene was cut. A
camera that moves changes the whole picture, things that move change a part of it: on films with exact truth nineteen of
twenty frames of pans, zooms and shakes have an energy of 0.8 or more, and none in twenty of things up to a third of the
picture wide. A thing that fills the picture cannot be told from the camera by this, and the answer says "it seems".
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from llama_vid.llm.evidence import Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.movement_words import About, Asked, Form, asked, is_now
from llama_vid.llm.questions import Question, QuestionKind
from llama_vid.llm.words import duration, listed, often
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.compressor import STILL

WHOLE: Final = 0.8  # motion energy from which on the whole picture moves, as it does when the camera does
GAP: Final = 1.0  # seconds without movement that do not end a movement
TOLD: Final = 12  # times in one answer
NOW: Final = 2.0  # seconds before the end of memory that "now" means

PAIRS: Final = 8  # that the language model reads at once, as training showed it
#: What is asked of the tokens in the words that training used.
READ: Final = {
    About.ARRIVALS: "Does something come into view?",
    About.DEPARTURES: "Does something leave?",
    About.LIGHT: "Does the light change?",
}
CHANGE: Final = {
    About.ARRIVALS: READ[About.ARRIVALS],
    About.DEPARTURES: READ[About.DEPARTURES],
    About.OBJECTS: "Does an object move?",
}

Runs = list[tuple[int, int]]


def about(question: Question) -> Asked | None:
    """What a question asks about movement, its time words aside; None if it is about something else, or about which of
    two events came first."""
    text = question.text.lower().replace("’", "'")
    if question.span is not None and not is_now(question.span.words):
        text = text.replace(question.span.words, " ", 1)
    found = asked(text)
    ordered = question.kind is QuestionKind.ORDER and bool(question.others)
    return None if found and ordered and found.about not in (About.WHICH, About.FIRST) else found


def cuts(entries: Sequence[MemoryEntry]) -> Runs:
    """The entries with which a new scene begins, as runs of one."""
    return [(i, i) for i in range(1, len(entries)) if entries[i].scene != entries[i - 1].scene]


def moving(entries: Sequence[MemoryEntry], low: float = STILL, high: float = 2.0) -> Runs:
    """Runs [first, last] of entries that moved with an energy in [low, high); a cut is no movement."""
    found: Runs = []
    for i, entry in enumerate(entries):
        cut = i > 0 and entry.scene != entries[i - 1].scene
        if cut or entry.pair.cut or not low <= entry.energy < high:
            continue
        if found and entry.start - entries[found[-1][1]].end < GAP and entry.scene == entries[found[-1][1]].scene:
            found[-1] = (found[-1][0], i)
        else:
            found.append((i, i))
    return found


def still(entries: Sequence[MemoryEntry]) -> Runs:
    """Runs of entries in which nothing moved, within one scene each."""
    moved = {i for first, last in moving(entries) for i in range(first, last + 1)}
    found: Runs = []
    for i, entry in enumerate(entries):
        if i in moved:
            continue
        if found and found[-1][1] == i - 1 and entry.scene == entries[i - 1].scene:
            found[-1] = (found[-1][0], i)
        else:
            found.append((i, i))
    return found


def tell(told: Asked, find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """The answer to a question about movement, with the stretches it rests on as evidence."""
    entries = inquiry.entries
    if told.now:
        entries = tuple(entry for entry in entries if entry.end > entries[-1].end - NOW)
        inquiry.entries = entries
    if told.about is About.WHICH:
        yield from _which(find, inquiry)
    elif told.about is About.FIRST:
        yield from _first(find, inquiry)
    elif told.scenes:
        found = cuts(entries)
        _note(find, inquiry, found)
        yield f"{len(found) + 1}" + (f": they change at {_instants(inquiry, found)}." if found else ".")
    elif told.about in READ:
        yield from _read(told, find, inquiry)
    else:
        if told.about is About.THING:
            runs, never = yield from _of(told.subject, find, inquiry)
        else:
            runs, never = runs_of(told.about, entries)
        whether_still = told.about is About.STILLNESS and told.form is Form.WHETHER
        _note(find, inquiry, moving(entries) if whether_still else runs)
        yield from _formed(told, inquiry, runs, never)


def _read(told: Asked, find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """What the energies cannot tell: the language model reads the tokens of each stretch in which something moved, with
    the frame before and the frame after it, or of all entries where light is asked about, which moves nothing.
    """
    entries, question = inquiry.entries, READ[told.about]
    runs = [(0, len(entries) - 1)] if told.about is About.LIGHT else moving(entries)
    found: Runs = []
    for first, last in runs[:TOLD]:
        near = entries[max(0, first - 1) : last + 2]
        margin = find.margin([entry.pair for entry in near[:: -(-len(near) // PAIRS)]], question)
        if find.calibration.of_tokens(margin) >= 0.5:
            found.append((first, last))
        yield ""
    _note(find, inquiry, found)
    whole = told.about is About.LIGHT
    if told.form is Form.WHETHER:
        yield (
            ("Yes." if whole else f"Yes, it seems, at {_times(inquiry, found)}.")
            if found
            else "No, it does not seem so."
        )
    elif not found:
        yield "I have not seen that."
    elif told.form is Form.HOW_OFTEN:
        yield f"{len(found)}, it seems, at {_times(inquiry, found)}."
    else:
        yield f"It seems, at {_times(inquiry, found)}."


def changes(find: Finder, inquiry: Inquiry) -> str:
    """What changed in the entries, as far as their energies, scenes and tokens tell; "" if nothing did."""
    entries = inquiry.entries
    if found := cuts(entries):
        return f"The scene changes at {_instants(inquiry, found)}."
    if camera := moving(entries, WHOLE):
        return f"The camera moves, it seems, at {_times(inquiry, camera)}."
    runs = moving(entries)
    if not runs:
        return ""
    near = entries[max(0, runs[0][0] - 1) : runs[-1][1] + 2]
    pairs = [entry.pair for entry in near[:: -(-len(near) // PAIRS)]]
    margins = {about: find.margin(pairs, question) for about, question in CHANGE.items()}
    best = max(margins, key=lambda about: margins[about])
    said = {About.ARRIVALS: "Something came in", About.DEPARTURES: "Something left"}.get(best, "Something moves")
    return f"{said}, it seems, at {_times(inquiry, runs)}."


def runs_of(what: About, entries: Sequence[MemoryEntry]) -> tuple[Runs, str]:
    """The runs that a question is about, and what is said where there are none."""
    match what:
        case About.CUTS:
            return cuts(entries), "the scene does not change"
        case About.CAMERA:
            return moving(entries, WHOLE), "the camera does not seem to move"
        case About.OBJECTS:
            return moving(entries, STILL, WHOLE), "I see no object move"
        case About.STILLNESS:
            return still(entries), "something moves all the time"
        case _:
            return moving(entries), "nothing moves"


def _of(subject: str, find: Finder, inquiry: Inquiry) -> Generator[str, None, tuple[Runs, str]]:
    """The runs of movement that show a thing, or what is said where there are none."""
    entries = inquiry.entries
    z = find.scores(entries, subject)
    floor = find.calibration.floor(float(z.max()))
    yield ""
    if float(z.max()) < find.calibration.present:
        return [], f"I have not seen {subject}"
    runs = [run for run in moving(entries) if float(z[run[0] : run[1] + 1].max()) >= floor]
    return runs, f"I have not seen {subject} move"


def _formed(told: Asked, inquiry: Inquiry, runs: Runs, never: str) -> Iterator[str]:
    entries = inquiry.entries
    times = (_instants if told.about is About.CUTS else _times)(inquiry, runs) if runs else ""
    match told.form:
        case Form.WHETHER if told.about is About.STILLNESS:
            moved = moving(entries)
            yield f"No, something moves at {_times(inquiry, moved)}." if moved else "Yes, nothing moves."
        case Form.WHETHER:
            yield f"Yes, {_seems(told)}at {times}." if runs else f"No, {never}."
        case _ if not runs:
            yield f"{'Never: ' + never if told.form is Form.HOW_OFTEN else never[:1].upper() + never[1:]}."
        case Form.WHEN:
            yield f"At {times}."
        case Form.HOW_LONG:
            total = sum(entries[i].end - entries[i].start for first, last in runs for i in range(first, last + 1))
            yield f"About {duration(total)}: {times}."
        case Form.HOW_OFTEN:
            yield f"{often(len(runs))}, at {times}."


def _seems(told: Asked) -> str:
    return "it seems, " if told.about in (About.CAMERA, About.OBJECTS) else ""


def _which(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    camera, objects = moving(inquiry.entries, WHOLE), moving(inquiry.entries, STILL, WHOLE)
    _note(find, inquiry, sorted(camera + objects))
    if camera and objects:
        yield f"Both: the camera, it seems, at {_times(inquiry, camera)}, an object at {_times(inquiry, objects)}."
    elif camera or objects:
        yield f"{'The camera, it seems' if camera else 'An object'}, at {_times(inquiry, camera or objects)}."
    else:
        yield "Neither: nothing moves."


def _first(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    runs = moving(inquiry.entries)
    if not runs:
        yield "Nothing moves."
        return
    first, last = runs[0]
    entry = inquiry.entries[first]
    if entry.energy >= WHOLE:
        _note(find, inquiry, runs[:1])
        yield f"The camera, it seems, at {inquiry.clock(entry.start)}."
        return
    text = yield from find.told(entry)
    inquiry.note(entry.start, inquiry.entries[last].end, 1.0, text)
    yield f"Movement begins at {inquiry.clock(entry.start)}: {text}"


def _note(find: Finder, inquiry: Inquiry, runs: Runs) -> None:
    for first, last in runs[:TOLD]:
        busiest = max(range(first, last + 1), key=lambda i: inquiry.entries[i].energy)
        text = find.plain(inquiry.entries[busiest])
        inquiry.note(inquiry.entries[first].start, inquiry.entries[last].end, 1.0, text)


def _times(inquiry: Inquiry, runs: Runs) -> str:
    return listed([inquiry.run(run) for run in runs[:TOLD]])


def _instants(inquiry: Inquiry, runs: Runs) -> str:
    """The starts alone: a cut takes no time."""
    return listed([inquiry.clock(inquiry.entries[first].start) for first, _ in runs[:TOLD]])
