"""The specification's table: what a frame costs in tokens, here and elsewhere, and what the answers are worth.

    llama-vid bench tokens [--limit N] [--results FILE]        (or: python -m benchmarks.tokens)

Tokens a frame come from real configurations (`token_counts.py`); an hour's and the minutes that fit a context follow
from them. Measured here: how long the shipped language model takes to read one frame's tokens and an hour's, where they
fit its context (random embeddings of the right length: what they say does not change how long it takes); how many
tokens the memory holds after an hour before a quiet camera and after an hour of film that never rests; and the share of
yes/no questions answered right, where a system can be run. `--results` takes those shares from the results.json of
`llama-vid eval all` instead of measuring them. The floor is reading a single token.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import torch

from benchmarks.filling import Features
from benchmarks.pictures import clip_files, scenes, shuffled
from benchmarks.quiet_camera import QuietCamera, empty_scene, planned
from benchmarks.token_counts import CONTEXTS, HOUR, Count, counts, minutes_in
from benchmarks.token_quality import NOT_ASKED, ROUTES, Shares, asked, read_results
from llama_vid.bundle import Bundle, load_bundle
from llama_vid.llm.language import LanguageModel
from llama_vid.recorder import BATCH, Recorder
from llama_vid.stream.frame import Frame

if TYPE_CHECKING:
    from rich.console import Console

CONTEXT: Final = 8192
EVENTS: Final = 3  # clips in an hour before the quiet camera, as many as in the benchmark `day`
SCENES: Final = 60  # distinct scenes of the hour of film: the tower sees each picture once
READ_TOKENS: Final = 256  # at once, as memory is read
RUNS: Final = 5
QUESTIONS: Final = 40
DAWN: Final = 6.0  # o'clock: the quiet hour holds the change from infrared to colour


@dataclass(frozen=True, slots=True)
class Held:
    """What memory holds after an hour: tokens and entries for `frames` frames."""

    scene: str
    frames: int
    entries: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """The table. `frame_ms` and `hour_ms` are by tokens a frame, `right` by system and route."""

    counts: Sequence[Count]
    held: Sequence[Held]
    floor_ms: float
    frame_ms: Mapping[int, float]
    hour_ms: Mapping[int, float]
    right: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    questions: str = NOT_ASKED

    def to_json(self) -> dict[str, Any]:
        systems = {count.system: self._row(count) for count in self.counts}
        for held in self.held:
            systems[f"ours adaptive, {held.scene}"] = {
                "tokens_per_frame": held.tokens / held.frames,
                "tokens_per_hour": held.tokens * HOUR / held.frames,
                **{f"minutes_in_{context}": self._minutes(held, context) for context in CONTEXTS},
                "read_hour_ms": self.hour_ms.get(held.tokens),
                "how": "measured",
                "source": f"{held.frames} frames through the memory: {held.entries} entries",
            }
        return {
            "name": "tokens",
            "n": len(systems),
            "systems": systems,
            "questions": self.questions,
            "floor": {"read_one_token_ms": self.floor_ms},
        }

    @staticmethod
    def _minutes(held: Held, context: int) -> float:
        return minutes_in(context, held.tokens * HOUR / held.frames)

    def _row(self, count: Count) -> dict[str, Any]:
        return {
            "tokens_per_frame": count.per_frame,
            "tokens_per_hour": count.per_hour,
            **{f"minutes_in_{context}": minutes_in(context, count.per_hour) for context in CONTEXTS},
            "read_frame_ms": self.frame_ms.get(count.per_frame),
            "read_hour_ms": self.hour_ms.get(count.per_hour),
            **{f"right_{route}": self.right.get(count.system, {}).get(route) for route in ROUTES},
            "how": count.how,
            "source": count.source,
        }

    def print_rows(self, console: Console | None = None) -> None:
        """One line a system, and below where each count is from."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title="tokens: one frame a second", title_justify="left")
        heads = ("system", "a frame", "an hour", *(f"min in {context:,}" for context in CONTEXTS))
        for head in (*heads, "read a frame, ms", "an hour, s", "yes/no", "tokens alone", "how"):
            table.add_column(head, justify="left" if head in ("system", "how") else "right")
        systems = self.to_json()["systems"]
        for system, row in systems.items():
            hour = row["read_hour_ms"]
            table.add_row(
                system, _short(row["tokens_per_frame"]), f"{row['tokens_per_hour']:,.0f}",
                *(_short(row[f"minutes_in_{context}"]) for context in CONTEXTS), _short(row.get("read_frame_ms")),
                _short(None if hour is None else hour / 1000), *(_share(row.get(f"right_{route}")) for route in ROUTES),
                row["how"],
            )  # fmt: skip
        shown = console or Console()
        shown.print(table)
        for system, row in systems.items():
            shown.print(f"{system}: {row['source']}", highlight=False)
        shown.print(f"yes/no: {self.questions}; reading one token alone takes {self.floor_ms:.0f} ms", highlight=False)


def measure(
    runs: int | None = None, *, limit: int | None = None, results: Path | None = None, seconds: int = HOUR,
    most: int | None = None, distinct: int = SCENES, bundle: Bundle | None = None,
) -> Tokens:  # fmt: skip
    """The whole table. `runs` is how often one frame is read; `seconds` make shorter hours of `distinct` scenes.

    `limit` yes/no questions are asked (default QUESTIONS; 0: none), or `results` says what they gave. At most `most`
    tokens are read at once (default: the language model's context). Raises ConfigError for results that hold no yes/no
    figures.
    """
    right: Shares = {}
    questions = NOT_ASKED
    if results is not None:
        right, questions = read_results(results)
    bundle = bundle or load_bundle("mini")
    language, times = bundle.language, runs or RUNS
    listed = counts(bundle.tower.patches)
    held = [_quiet(bundle, seconds), _film(bundle, seconds, distinct)]
    frame_ms = {count: _steady(language, count, times) for count in sorted({each.per_frame for each in listed})}
    hours = {each.per_hour for each in listed} | {each.tokens for each in held}
    limit_tokens = language.context if most is None else most
    hour_ms = {tokens: read_ms(language, tokens) for tokens in sorted(hours) if tokens <= limit_tokens}
    floor_ms = _steady(language, 1, times)
    if results is None and limit != 0:
        right, questions = asked(bundle, limit or QUESTIONS)
    return Tokens(listed, held, floor_ms, frame_ms, hour_ms, right, questions)


def _steady(language: LanguageModel, tokens: int, times: int) -> float:
    """The median of several readings after a first one, for which kernels are made."""
    read_ms(language, tokens)
    return median(read_ms(language, tokens) for _ in range(times))


def read_ms(language: LanguageModel, tokens: int) -> float:
    """Milliseconds in which the language model reads so many embeddings into an empty cache."""
    norm = float(language.embed([0, 1, 2, 3]).float().norm(dim=-1).mean())
    x = torch.nn.functional.normalize(torch.randn(tokens, language.width), dim=-1) * norm
    cache = language.new_cache(tokens)
    began = time.perf_counter()
    for start in range(0, tokens, READ_TOKENS):
        language.forward(x[start : start + READ_TOKENS], cache)
    return (time.perf_counter() - began) * 1000


def _quiet(bundle: Bundle, seconds: int) -> Held:
    """A static camera with EVENTS clips in the hour."""
    paths = [path for path, _ in clip_files()]
    still = [path for path in paths if "people-detection" in path.name] or paths[-1:]
    events = planned(paths[:: max(1, len(paths) // EVENTS)][:EVENTS], seconds)
    camera = QuietCamera(empty_scene(still[0]), events, hour=DAWN)
    recorder = Recorder(bundle, context_tokens=CONTEXT)
    images = camera.frames(0, seconds)
    for start in range(0, seconds, BATCH):
        recorder.add([Frame(float(start + at), image) for at, image in enumerate(islice(images, BATCH))])
    return Held("quiet camera", seconds, len(recorder.bank), recorder.bank.tokens)


def _film(bundle: Bundle, seconds: int, distinct: int) -> Held:
    """Scenes of eight moving seconds, cut after cut."""
    pictures, features = shuffled(scenes(distinct)), Features(bundle.tower)
    recorder = Recorder(bundle, context_tokens=CONTEXT)
    for start in range(0, seconds, BATCH):
        shown = list(islice(pictures, BATCH))
        glance = recorder.look([Frame(float(start + at), picture.image) for at, picture in enumerate(shown)])
        recorder.take(glance, features.of(glance, shown))
    return Held("film", seconds, len(recorder.bank), recorder.bank.tokens)


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    measure().print_rows()
