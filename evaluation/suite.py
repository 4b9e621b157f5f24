"""`eval all`: every evaluation by every route with one model, each clip taken in once, and one report of all of it.

What is finished is a JSON file in the report's folder; a second run with the same bundle and limit takes it from there,
so that an interrupted run goes on where it stopped. A task whose data is not there is skipped, one that fails is told
as failed; neither stops the rest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from evaluation.case import Case
from evaluation.columns import rows_of_task, shown
from evaluation.frames import Frames
from evaluation.model import VideoModel
from evaluation.run import Options, check, data_folder, evaluate, progress
from evaluation.shelf import Shelf
from evaluation.tasks import NAMES
from llama_vid.bundle import find_bundle, fingerprint
from llama_vid.errors import ConfigError, LlamaVidError

logger = logging.getLogger(__name__)

#: Where finished results and pictures lie below the report's folder.
DONE, FRAMES = "done", "frames"
#: Called with a line for people when an evaluation begins or ends.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What the command line asked for; `folder` holds `clips/`, `flickr8k/` and so on (None: the data folder)."""

    out: Path
    folder: Path | None = None
    limit: int | None = None
    model: str = "mini"
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Finished:
    """One evaluation of the suite: its result, or why there is none; `program` is the program's state it was made with.

    `cases` are as `Case.to_json` gives them, with the names of their `frames` below the report's folder.
    """

    name: str
    route: str
    bundle: str
    program: str
    limit: int | None
    seconds: float
    result: dict[str, Any] | None = None
    cases: tuple[dict[str, Any], ...] = ()
    skipped: str = ""
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"cases": list(self.cases)}


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run of the suite found."""

    bundle: str
    program: str
    model: str
    limit: int | None
    created: str
    seconds: float
    cpus: int
    finished: tuple[Finished, ...]

    def to_json(self) -> dict[str, Any]:
        """Without the cases, which stand in the page and in the single results."""
        figures = [{k: v for k, v in each.to_json().items() if k != "cases"} for each in self.finished]
        return {name: getattr(self, name) for name in self.__slots__} | {"finished": figures}


def plan() -> list[tuple[str, str]]:
    """(name, route) of every evaluation, in the order in which they run."""
    return [(name, route) for name, task in NAMES.items() for route in task.routes]


def program_state() -> str:
    """Eight characters that stand for the program's and the evaluations' source."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for folder in ("llama_vid", "stream", "tokenizer", "memory", "llm", "evaluation"):
        for file in sorted((root / folder).glob("**/*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:8]


def run_suite(options: SuiteOptions, say: Say = lambda _line: None, chosen: Sequence[tuple[str, str]] = ()) -> Report:
    """Run what is not finished yet, and gather everything. Raises ConfigError if there is no data at all."""
    began = time.perf_counter()
    folder = options.folder or data_folder()
    if folder is None or not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}" if folder else "no evaluation data: name its folder, or set LLAMA_VID_DATA"
        )
    place = find_bundle(options.model)
    bundle, program = fingerprint(place), program_state()
    (options.out / DONE).mkdir(parents=True, exist_ok=True)
    frames = Frames(options.out / FRAMES)
    model: VideoModel | None = None
    finished = []
    for name, route in chosen or plan():
        title = f"{name} ({route})" if len(NAMES[name].routes) > 1 else name
        file = options.out / DONE / f"{name}-{route}.json"
        one = _known(file, bundle, options.limit)
        if one is not None:
            say(f"{title}: taken from {file}")
        else:
            one = Finished(name, route, bundle, program, options.limit, 0.0)
            try:
                asked = check(Options(name, folder / NAMES[name].below, route, limit=options.limit))
            except ConfigError as problem:
                one = replace(one, skipped=str(problem))
            else:
                model = model or _loaded(options)
                one = _measured(one, model, asked, frames, title)
                if one.result is not None:
                    _write(file, one.to_json())
            say(f"{title}: {told(one)}, {one.seconds:.0f} s")
        finished.append(one)
    return Report(
        bundle=bundle,
        program=program,
        model=place.name,
        limit=options.limit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - began, 1),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        finished=tuple(finished),
    )


def _measured(one: Finished, model: VideoModel, asked: Options, frames: Frames, title: str) -> Finished:
    """One evaluation run: with its result, or with why it was skipped or has failed."""
    start = time.perf_counter()
    try:
        with progress(title) as tick:
            result = evaluate(model, asked, cast("Path", asked.folder), tick)
        cases: tuple[Case, ...] = getattr(result, "cases", ())
        frames.take(cases)
        one = replace(
            one,
            result=result.to_json() | {"bundle": one.bundle},
            cases=tuple(case.to_json() | {"frames": frames.of(case)} for case in cases),
        )
    except ConfigError as problem:
        one = replace(one, skipped=str(problem))
    except LlamaVidError as problem:
        one = replace(one, failed=str(problem))
    except Exception as problem:  # one broken evaluation must not cost the others' half hour
        logger.exception("%s failed", title)
        one = replace(one, failed=f"{type(problem).__name__}: {problem}")
    return replace(one, seconds=round(time.perf_counter() - start, 1))


def told(one: Finished) -> str:
    """An outcome in a few words."""
    if one.result is None:
        return f"skipped: {one.skipped}" if one.skipped else f"failed: {one.failed}"
    return ", ".join(f"{row.label} {shown(row.values['llama-vid'])}" for row in rows_of_task(one.result)) or "done"


def _loaded(options: SuiteOptions) -> VideoModel:
    from llama_vid.model import LLaMAVID

    return cast("VideoModel", Shelf(LLaMAVID.from_pretrained(options.model, device=options.device)))


def _known(file: Path, bundle: str, limit: int | None) -> Finished | None:
    """The finished result in a file, if it is of this bundle and limit."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        one = Finished(**{**value, "cases": tuple(value["cases"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return one if (one.bundle, one.limit) == (bundle, limit) else None


def _write(file: Path, value: dict[str, Any]) -> None:
    """Write JSON so that the file is there whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(file)
