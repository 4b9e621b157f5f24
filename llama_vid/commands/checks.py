"""What `doctor` finds: one check for each thing that it looked at, each with how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One look: its subject, how it is, and what to do ('' if nothing). A `warning` limits, a `problem` stops."""

    subject: str
    status: Literal["ok", "warning", "problem"]
    detail: str
    fix: str = ""


#: Something that looks.
Look = Callable[[], Iterator[Check]]
