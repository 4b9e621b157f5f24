"""What `eval --system` was asked to set side by side: which systems, with which weights, frames, and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evaluation.run import data_folder
from evaluation.tasks import ROUTES
from llama_vid.errors import ConfigError

#: The systems that stand side by side, in the order of the table.
SYSTEMS: Final = ("ours", "full", "llava-next-video", "video-llama", "openai")
#: Those that need `--weights`, with an example of what they take.
WEIGHTS: Final = {
    "llava-next-video": "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "video-llama": "a folder with VideoLLaMA 3 in transformers' format",
    "openai": "the model's name at the API",
}
#: The question sets that every system can answer.
QUESTIONS: Final = ("yesno", "open")
#: Where results go unless a folder is named.
OUT: Final = Path("eval-systems")
#: The most requests to a paid API in one run, unless said otherwise: some 60 clips with three questions each.
MAX_REQUESTS: Final = 500


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How an OpenAI-compatible API is reached; `key_file` or the variable OPENAI_API_KEY holds the key."""

    base_url: str = ""
    key_file: Path | None = None
    max_requests: int = MAX_REQUESTS


@dataclass(frozen=True, slots=True)
class SystemsOptions:
    """What the command line asked for. `limit` counts clips; `weights` and `frames` are by system."""

    systems: tuple[str, ...]
    folder: Path
    questions: tuple[str, ...] = QUESTIONS
    out: Path = OUT
    limit: int | None = None
    route: str = "all"
    model: str = "mini"
    device: str = "auto"
    dtype: str = "auto"
    weights: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, int] = field(default_factory=dict)
    api: ApiOptions = field(default_factory=ApiOptions)


def chosen(system: Sequence[str]) -> tuple[str, ...]:
    """The names of `--system`, given several times or with commas between them, each once."""
    return tuple(dict.fromkeys(name.strip() for each in system for name in each.split(",") if name.strip()))


def is_comparison(names: Sequence[str]) -> bool:
    """Whether systems are to stand side by side; one name of an evaluation's own columns asks for that column."""
    return len(names) > 1 or any(name in SYSTEMS and name != "full" for name in names)


def by_system(values: Sequence[str], systems: Sequence[str], option: str) -> dict[str, str]:
    """`SYSTEM=VALUE` pairs; a bare VALUE is for the only system that takes one. Raises ConfigError."""
    takers = [name for name in systems if name in WEIGHTS]
    found: dict[str, str] = {}
    for value in values:
        name, mark, rest = value.partition("=")
        if not mark or name not in SYSTEMS:  # a folder's name may have "=" in it
            if len(takers) != 1:
                raise ConfigError(f"{option} {value} does not say for which system; write {option} SYSTEM={value}")
            name, rest = takers[0], value
        if name not in takers:
            raise ConfigError(f"{option} {value}: {name} is not among the systems that take {option}")
        if not rest:
            raise ConfigError(f"{option} {value}: nothing stands after the =")
        found[name] = rest
    return found


def counts(values: Mapping[str, str]) -> dict[str, int]:
    """Frames by system. Raises ConfigError for anything but whole numbers from 1 on."""
    for name, value in values.items():
        if not value.isdecimal() or int(value) < 1:
            raise ConfigError(f"--frames {name}={value}: give a whole number of frames from 1 on")
    return {name: int(value) for name, value in values.items()}


def check(
    name: str,
    systems: Sequence[str],
    folder: Path | None,
    *,
    out: Path | None = None,
    limit: int | None = None,
    route: str = "all",
    model: str = "mini",
    device: str = "auto",
    dtype: str = "auto",
    weights: Sequence[str] = (),
    frames: Sequence[str] = (),
    api: ApiOptions | None = None,
) -> SystemsOptions:
    """The options of a comparison, before anything slow starts. Raises ConfigError."""
    unknown = [each for each in systems if each not in SYSTEMS]
    if unknown:
        raise ConfigError(f"no system {unknown[0]!r} can stand beside others; known: {', '.join(SYSTEMS)}")
    questions = QUESTIONS if name in ("", "all") else (name,)
    if questions[0] not in QUESTIONS:
        raise ConfigError(f"--system {','.join(systems)} is for {', '.join(QUESTIONS)} and all, not for {name}")
    if route not in ROUTES:
        raise ConfigError(f"--route is {' or '.join(ROUTES)}, not {route!r}")
    places = by_system(weights, systems, "--weights")
    for each in systems:
        if each in WEIGHTS and each not in places:
            raise ConfigError(f"--system {each} needs --weights {each}=…: {WEIGHTS[each]}")
    if folder is None:
        data = data_folder()
        if data is None:
            raise ConfigError("no evaluation data: give the folder of the clips, or set LLAMA_VID_DATA")
        folder = data / "clips"
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give the folder that holds clips.jsonl")
    return SystemsOptions(
        tuple(name for name in SYSTEMS if name in systems),
        folder,
        questions,
        out or OUT,
        limit,
        route,
        model,
        device,
        dtype,
        places,
        counts(by_system(frames, systems, "--frames")),
        api or ApiOptions(),
    )
