"""What a recipe will do, before it does it: stages, what is finished, disk, memory and time.

Times are measured here in a moment (`probe.py`) or come from its table of rates; each says which. Nothing is changed by
planning, and nothing large is loaded but the tower, where its speed must be known.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from llama_vid.errors import LlamaVidError
from llama_vid.llm.language import chosen_dtype
from llama_vid.needs import free_bytes
from training.planning import Planner, StagePlan
from training.prepare import Photographs
from training.recipe import Single


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe's stages in order. `problems` stop a run before it starts, `warnings` do not."""

    recipe: str
    device: str
    stages: Sequence[StagePlan]
    data: dict[str, int]
    free_memory: int | None
    free_disk: int
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """Expected time of what is left; None if a stage's is not known."""
        times = [stage.seconds for stage in self.stages]
        return None if any(each is None for each in times) else sum(each or 0.0 for each in times)

    @property
    def memory(self) -> int:
        """Memory of the stage that needs most, in bytes."""
        return max((stage.memory for stage in self.stages), default=0)

    @property
    def disk(self) -> int:
        """Disk that what is not there yet will take, in bytes."""
        return sum(stage.disk for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "device": self.device,
            "data": self.data,
            "stages": [asdict(stage) for stage in self.stages],
            "seconds": self.seconds,
            "memory": self.memory,
            "free_memory": self.free_memory,
            "disk": self.disk,
            "free_disk": self.free_disk,
            "warnings": self.warnings,
            "problems": self.problems,
        }

    def lines(self) -> list[str]:
        """The plan as people read it."""
        found = ", ".join(f"{count:,} {what}" for what, count in self.data.items()) or "none needed"
        out = [f"plan of {self.recipe} on {self.device}", f"  data: {found}"]
        for stage in self.stages:
            figures = [
                "finished, skipped" if stage.finished else _time(stage.seconds),
                f"memory {_gigabytes(stage.memory)}" if stage.memory and not stage.finished else "",
                f"disk {_gigabytes(stage.disk)}" if stage.disk else "",
            ]
            out.append(f"  {stage.name}: {stage.does}; {', '.join(each for each in figures if each)}")
            if stage.how and not stage.finished:
                out.append(f"    {stage.how}")
        free = f" of {_gigabytes(self.free_memory)} free" if self.free_memory is not None else ""
        out.append(
            f"  in all: {_time(self.seconds)}, memory {_gigabytes(self.memory)}{free}, "
            f"disk {_gigabytes(self.disk)} of {_gigabytes(self.free_disk)} free"
        )
        out += [f"  warning: {each}" for each in self.warnings]
        return out + [f"  cannot run: {each}" for each in self.problems]


def make_plan(recipe: str, parts: Sequence[tuple[str, Path, Single]]) -> Plan:
    """The plan of a recipe's parts, each with its name and file."""
    photos, missing = None, list[str]()
    data = next((part.data for _, _, part in parts if part.stage != "export"), None)
    if data is not None:
        try:
            photos = Photographs(data)
        except LlamaVidError as problem:
            missing.append(str(problem))
    planner = Planner(photos)
    stages = [planner.stage(name, part) for name, _, part in parts]
    warnings, problems = planner.warnings, [*missing, *planner.problems]
    free, disk = free_bytes(), min(_free_disk(part.cache) for _, _, part in parts)
    plan = Plan(recipe, _device(), stages, _counts(photos), free, disk, warnings, problems)
    if free is not None and plan.memory > free:
        most = max(stages, key=lambda stage: stage.memory)
        advice = "fewer rows or shorter ones" if most.stage == "align" else "another machine, or end what else runs"
        warnings.append(
            f"{most.name} needs about {_gigabytes(most.memory)} of memory, {_gigabytes(free)} are free: the machine "
            f"may swap or end it; {advice} would help"
        )
    if plan.disk > disk:
        warnings.append(f"the disk has {_gigabytes(disk)} free, {_gigabytes(plan.disk)} are needed; make room")
    return plan


def _counts(photos: Photographs | None) -> dict[str, int]:
    if photos is None:
        return {}
    return {
        "training photos": len(photos.train),
        "dev photos": len(photos.dev),
        "photos without captions": len(photos.unlabelled),
        "captions": len(photos.captions),
    }


def _device() -> str:
    dtype = str(chosen_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    return f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} CPU cores, {dtype}"


def _free_disk(folder: Path) -> int:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "time not known"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
