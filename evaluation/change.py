"""`eval change`: what changed between two moments, still or moving, camera or object, entered or left, and the light.

Questions are about a few seconds of a film whose truth is known to the frame, as many with the answer yes as with no.
Route `all` asks as a user would ("… between 0:05 and 0:09?"). Route `tokens` gives the language model the pairs of
those seconds alone and compares its margins of yes over no: with the calibration's threshold for a question with yes or
no, with each other for "the camera or an object?" and for what changed. `full` and the blind language model are asked
likewise (`full` of the seconds cut out as a film of their own); `last-frame` has the last of those seconds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from evaluation.case import Case
from evaluation.change_questions import CHANGES, MOVERS, WORDS, YES_NO, Changed, chosen, is_right
from evaluation.model import Full, Missing, VideoModel, full_of
from evaluation.synthetic import cut_out, true_films
from evaluation.tally import Shares, Tally, shares, side_by_side, systems_of
from evaluation.tasks import ABLATIONS
from evaluation.windows import Windows
from llama_vid.tokenizer.pair import TokenPair

FILMS: Final = 60
FIGURES: Final = {
    "still_or_moving": ("moving",),
    "camera_or_object": ("camera", "object", "which"),
    "entered_or_left": ("enters", "leaves"),
    "what_changed": ("changed",),
}


def evaluate_change(
    model: VideoModel,
    folder: Path,
    *,
    route: str = "all",
    system: str = "",
    limit: int | None = None,
    drop: str = "",
    tick: Callable[[], None] = lambda: None,
) -> Tally:
    """Run the evaluation on films drawn over the photos of `folder`; `limit` draws fewer films.

    `system` measures that one alone; `drop` takes a token away on the token route. Raises ConfigError, SourceError.
    """
    films = true_films(folder, limit or FILMS)
    asked = chosen(films)

    def measured(name: str) -> tuple[Shares, list[Case]] | Missing:
        answers = _answers(model, asked, name, route, ABLATIONS.get(name, drop), tick)
        if isinstance(answers, Missing):
            return answers
        cases = [
            Case(item.kind, item.film.path, item.asked, item.wanted, text, is_right(item, text), item.seconds, name)
            for item, text in zip(asked, answers, strict=True)
        ]
        return shares(cases, name, FIGURES), cases

    over = {"films": len(films)}
    return side_by_side("change", len(asked), over, route, systems_of(system, route), measured)


def _answers(
    model: VideoModel, asked: Sequence[Changed], system: str, route: str, drop: str, tick: Callable[[], None]
) -> list[str] | Missing:
    if system == "blind":
        return [_told(item, lambda text: model.tokens.yesno_blind([text])[0]) for item in asked]
    out: list[str] = []
    windows = Windows(model, drop=drop)
    if drop == "context":
        windows.average_over(sorted({str(item.film.path) for item in asked}))
    full = full_of(model) if system == "full" else None
    if isinstance(full, Missing):
        return full
    of_tokens = _calibrated(model)
    for item in asked:
        path, last = str(item.film.path), system == "last-frame"
        if full is not None:
            part = str(cut_out(item.film, item.first, item.last))
            out.append(_told(item, partial(_one, full, part)))
        elif route == "all":
            shown = str(cut_out(item.film, item.last - 1, item.last)) if last else path
            film = model.open(shown, last_frame_only=last)
            out.append(film.ask(f"{item.question}?" if last else item.asked).answer)
        else:
            entries = windows.entries(path)
            pairs = [e.pair for e in entries if e.start < item.last and e.end > item.first]
            pairs = pairs[-1:] if last else pairs
            out.append(_told(item, partial(_read, windows, pairs, of_tokens)))
        tick()
    return out


def _one(full: Full, path: str, text: str) -> float:
    return full.yesno(path, [text])[0]


def _read(windows: Windows, pairs: Sequence[TokenPair], of_tokens: Callable[[float], float], text: str) -> float:
    return of_tokens(windows.read([pairs], text)[0])


def _told(item: Changed, probability: Callable[[str], float]) -> str:
    """An answer made of p(yes) of yes/no questions: yes or no, or the likeliest of several things."""
    if item.kind in YES_NO:
        p = probability(f"{item.question}?")
        return f"{'Yes' if p >= 0.5 else 'No'} (p(yes) = {p:.2f})."
    kinds = MOVERS if item.kind == "which" else CHANGES
    said = {name: probability(question) for name, (question, _) in kinds.items()}
    best = max(said, key=lambda name: said[name])
    return best if item.kind == "which" else WORDS[best]


def _calibrated(model: VideoModel) -> Callable[[float], float]:
    bundle: Any = model.bundle
    found: Callable[[float], float] = bundle.calibration.of_tokens
    return found
