"""One system over all clips: each is taken in once and asked all its questions, and what came out is written down."""

from __future__ import annotations

import logging
import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from evaluation.clips import Clip, read_clips, read_yesno
from evaluation.scores import spread
from evaluation.systems_options import SystemsOptions
from evaluation.systems_record import Record, Records, Said
from llama_vid.errors import ConfigError, LlamaVidError

logger = logging.getLogger(__name__)

#: Clips that fail alike one after the other, after which the rest is not tried: it is the system, not the clips.
HOPELESS: Final = 5


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a clip: the set it is from (yesno, open), and the answer that is wanted."""

    asked: str
    text: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Examined:
    """A clip with all that is asked about it."""

    clip: Clip
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, p(yes) where the system compares yes with no, and the seconds it took where it is an earlier one."""

    text: str
    probability: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a system was given of the clip taken in last: frames, and the tokens for them (None: not told)."""

    frames: int
    tokens: int | None


class Limited(Exception):
    """The run's limit of requests is reached: what is left waits for the next run."""


class System(Protocol):
    """A system under comparison. `identity` names weights and settings, so that answers of others are not taken for its
    own; `label` says exactly which model it is, `notes` which frames and words it was given.
    """

    @property
    def identity(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def notes(self) -> str: ...

    def take(self, clip: Path) -> None:
        """Take a clip in, for the questions that follow."""
        ...

    def answer(self, asked: str, question: str) -> Heard:
        """The answer to a question of a set, about the clip taken in last."""
        ...

    def blind(self, asked: str, question: str) -> Heard | None:
        """The answer without any video; None if the system is not asked that."""
        ...

    def seen(self) -> Seen:
        """What the clip came to; called after its questions."""
        ...


def examined(options: SystemsOptions) -> list[Examined]:
    """The clips with their questions, `options.limit` of them evenly spread. Raises ConfigError if nothing is asked."""
    yesno: dict[Clip, list[Question]] = {}
    if "yesno" in options.questions:
        for item in read_yesno(options.folder):
            question = Question("yesno", item.question, "yes" if item.answer else "no")
            yesno.setdefault(item.clip, []).append(question)
    found = []
    for clip in read_clips(options.folder):
        free = [Question("open", question, answer) for question, answer in clip.asked]
        questions = (*yesno.get(clip, ()), *(free if "open" in options.questions else ()))
        if questions:
            found.append(Examined(clip, questions))
    if not found:
        raise ConfigError(f"{options.folder} asks nothing of its clips by {' or '.join(options.questions)}")
    return spread(found, options.limit)


def measure(
    system: System, clips: Sequence[Examined], records: Records, tick: Callable[[], None] = lambda: None
) -> None:
    """Ask a system what is not answered yet, first without any video, then clip by clip.

    A clip that fails is written down as failed and tried again by the next run; its questions count as wrong.
    """
    known = records.of(system.identity)
    every = list(dict.fromkeys((question.asked, question.text) for each in clips for question in each.questions))
    if missing := [pair for pair in every if "" not in known or pair not in known[""].asked]:
        _without_video(system, every if "" not in known else missing, known.get(""), records)
    failures: list[str] = []
    for each in clips:
        done = known.get(each.clip.path.name)
        pairs = [(question.asked, question.text) for question in each.questions]
        if done is None or done.failed or not done.asked.issuperset(pairs):
            try:
                record = _one(system, each.clip.path, pairs)
            except Limited:
                logger.warning("the limit of requests is reached; run it again to go on from %s", each.clip.path.name)
                return
            records.add(record)
            if record.failed:
                logger.warning("%s: %s", each.clip.path.name, record.failed)
            failures = [*failures, _alike(record.failed)] if record.failed else []
            if len(failures) >= HOPELESS and len(set(failures)) == 1:
                raise ConfigError(
                    f"{HOPELESS} clips in a row failed alike, and the rest was not tried: {record.failed}"
                )
        tick()


def _alike(failure: str) -> str:
    """A failure without its numbers: two of "Tried to allocate 2.13 GiB" are alike."""
    return re.sub(r"\d[\d.,]*", "#", failure)


def _without_video(system: System, pairs: Sequence[tuple[str, str]], known: Record | None, records: Records) -> None:
    said = list(known.said) if known is not None else []
    for asked, question in pairs:
        began = time.perf_counter()
        heard = system.blind(asked, question)
        if heard is None:
            return
        said.append(Said(asked, question, heard.text, time.perf_counter() - began, heard.probability))
    records.add(Record(system.identity, "", said=tuple(said)))


def _one(system: System, clip: Path, pairs: Sequence[tuple[str, str]]) -> Record:
    """One clip taken in and asked about."""
    said: list[Said] = []
    began = time.perf_counter()
    try:
        system.take(clip)
        ingest_s = time.perf_counter() - began
        for asked, question in pairs:
            start = time.perf_counter()
            heard = system.answer(asked, question)
            took = time.perf_counter() - start if heard.seconds is None else heard.seconds
            said.append(Said(asked, question, heard.text, took, heard.probability))
        seen = system.seen()
    except (ConfigError, Limited):
        raise
    except LlamaVidError as problem:
        return Record(system.identity, clip.name, failed=str(problem))
    except Exception as problem:  # a library that cannot take one clip must not void the run
        logger.debug("%s failed", clip.name, exc_info=True)
        return Record(system.identity, clip.name, failed=f"{type(problem).__name__}: {problem}".splitlines()[0])
    rss, cuda = peak_memory()
    return Record(system.identity, clip.name, seen.frames, seen.tokens, ingest_s, tuple(said), rss=rss, cuda=cuda)


def peak_memory() -> tuple[int, int | None]:
    """The most bytes that this process held so far: of main memory, and of the GPU (None where none was used)."""
    import torch

    cuda = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count the process that this one was forked from
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024, cuda or None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (most if sys.platform == "darwin" else most * 1024), cuda or None
