"""`eval --system A,B,…`: systems side by side on the same clips and questions, each in a process of its own.

A process of its own has its own peak of memory, and takes nobody with it when it is killed for using too much. What a
system answered lies in `OUT/SYSTEM.jsonl`, a line a clip: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

from evaluation.run import progress
from evaluation.systems_figures import Judging, SystemFigures, figures
from evaluation.systems_options import SystemsOptions
from evaluation.systems_record import Records
from evaluation.systems_run import System, examined, measure
from evaluation.systems_table import markdown
from llama_vid.errors import ConfigError, LlamaVidError

#: Called with the name of a system that is about to be measured.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A system that was measured: how it names itself. `problem` says why it could not be."""

    identity: str = ""
    label: str = ""
    notes: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The systems' figures in the order asked for, and the systems that have none, with the reason."""

    questions: tuple[str, ...]
    clips: int
    n: int
    systems: tuple[SystemFigures, ...]
    missing: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """What was measured, in words."""
        return f"{' and '.join(self.questions)}: {self.n} questions about {self.clips} clips"

    def to_json(self) -> dict[str, Any]:
        """`baselines` repeats the shares without any video, where a system was asked without."""
        blind = {
            each.name: {name: share.to_json() for name, share in each.blind.items()}
            for each in self.systems
            if each.blind
        }
        return {
            "name": "systems",
            "questions": list(self.questions),
            "n": self.n,
            "clips": self.clips,
            "systems": {each.name: each.to_json() for each in self.systems},
            "missing": dict(self.missing),
            "baselines": {"blind": blind},
        }


def load_system(options: SystemsOptions, name: str) -> System:
    """A system, ready to be asked. Raises BundleError or ConfigError."""
    if name in ("ours", "full"):
        from evaluation.systems_ours import load_ours

        return load_ours(options, name)
    frames = options.frames.get(name)
    if name == "openai":
        from evaluation.competitors_openai import Api

        return Api(options.weights[name], options.out / "openai-answers.jsonl", options.api, frames)
    from evaluation.competitors import KINDS, load
    from evaluation.competitors_chat import Chat

    return Chat(load(KINDS[name], options.weights[name], device=options.device, dtype=options.dtype), frames)


def measure_one(options: SystemsOptions, name: str) -> Measured:
    """Load one system and ask it what is not answered yet. Errors of the program become the result's `problem`."""
    try:
        system = load_system(options, name)
    except LlamaVidError as problem:
        return Measured(problem=str(problem))
    problem_told = ""
    try:
        with progress(name) as tick:
            measure(system, examined(options), records_of(options, name), tick)
    except LlamaVidError as problem:
        problem_told = str(problem)
    return Measured(system.identity, system.label, system.notes, problem_told)


def records_of(options: SystemsOptions, name: str) -> Records:
    """Where a system's answers lie."""
    return Records(options.out / f"{name}.jsonl")


def compare(options: SystemsOptions, say: Say = lambda _name: None, *, apart: bool | None = None) -> Comparison:
    """Measure the systems one after the other and gather their figures; `table.md` and `results.json` go to the folder.

    `apart` gives each a process of its own (None: where there are several). A system that cannot be measured has no
    figures, and the reason instead. Raises ConfigError if nothing is asked, or the folder cannot be written.
    """
    clips = examined(options)
    apart = len(options.systems) > 1 if apart is None else apart
    judging, found, missing = Judging(), list[SystemFigures](), list[tuple[str, str]]()
    for name in options.systems:
        say(name)
        measured = _apart(options, name) if apart else measure_one(options, name)
        records = records_of(options, name).of(measured.identity) if measured.identity else {}
        if any(record.clip for record in records.values()):
            found.append(figures(name, measured.label, measured.notes, clips, records, judging))
            if measured.problem:
                missing.append((name, f"beyond those clips: {measured.problem}"))
        else:
            missing.append((name, measured.problem or "it was asked about no clip: --max-requests was reached before"))
    n = sum(len(each.questions) for each in clips)
    result = Comparison(options.questions, len(clips), n, tuple(found), tuple(missing))
    write(result, options)
    return result


def write(result: Comparison, options: SystemsOptions) -> None:
    """Write the table and the figures into the folder. Raises ConfigError."""
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        table = markdown(result.title, result.systems, result.missing)
        (options.out / "table.md").write_text(table, encoding="utf-8")
        (options.out / "results.json").write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"{options.out} cannot be written ({problem.strerror}); name another folder") from None


def _apart(options: SystemsOptions, name: str) -> Measured:
    """`measure_one` in a process of its own; one that dies is told, with its signal."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_child, args=(options, name, theirs), name=f"eval-{name}")
    worker.start()
    theirs.close()
    try:
        return cast("Measured", ours.recv())
    except EOFError:
        worker.join()
        code = worker.exitcode or 0
        why = f"signal {-code}" + (", as for want of memory" if code == -9 else "") if code < 0 else f"status {code}"
        return Measured(problem=f"its process ended with {why}; what it had answered is kept")
    finally:
        ours.close()
        worker.join()


def _child(options: SystemsOptions, name: str, told: Connection) -> None:
    """The process of one system."""
    told.send(measure_one(options, name))
    told.close()
