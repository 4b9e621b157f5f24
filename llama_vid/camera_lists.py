"""Cameras of other programs' configurations, as ours has them: what was found, and what could not be taken over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from llama_vid.errors import ConfigError
from llama_vid.settings import CAMERA_ID, check_camera_url

#: What to write instead of a placeholder whose variable is not set.
_LONGEST_NAME: Final = 64


@dataclass(slots=True)
class FoundCamera:
    """A camera: its name here, its address (a secret), and whether what is said shall be captioned."""

    name: str
    url: str = field(repr=False)
    captions: bool = False


@dataclass(slots=True)
class CameraLists:
    """What a file holds. `notes` are for the user, one line each, without addresses; `password` is the broker's."""

    program: str
    cameras: list[FoundCamera] = field(default_factory=list)
    mqtt: dict[str, Any] | None = None
    password: str | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, url: str, *, captions: bool = False) -> None:
        """One more camera, under a name that is allowed here; one whose address is not is a note."""
        known = {camera.name for camera in self.cameras}
        ours = camera_name(name, known)
        if ours != name:
            self.notes.append(f"{name}: is called {ours} here (letters, digits, - and _ make a name)")
        try:
            check_camera_url(url)
        except ValueError as problem:
            self.notes.append(f"{name}: left out: {problem}")
            return
        self.cameras.append(FoundCamera(ours, url, captions))

    def leave_out(self, where: str, keys: Iterable[str]) -> None:
        """Note keys that mean nothing here."""
        found = sorted(map(str, keys))
        if found:
            self.notes.append(f"{where}not taken over: {', '.join(found)}")


def camera_name(name: str, known: set[str]) -> str:
    """A name that is allowed here and not taken yet, as near to `name` as can be."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:_LONGEST_NAME] or "camera"
    ours, count = base, 1
    while ours in known or not CAMERA_ID.fullmatch(ours):
        count += 1
        ours = f"{base[: _LONGEST_NAME - 5]}-{count}"
    return ours


def filled(text: str, placeholder: re.Pattern[str], name: str, note: Callable[[str], None]) -> str:
    """`text` with placeholders replaced by the environment's variables of these names.

    The pattern's first group is the variable, a second one what to take without it. Unset ones stay, with a note.
    """

    def value(found: re.Match[str]) -> str:
        variable = found[1]
        if variable in os.environ:
            return os.environ[variable]
        default = found[2] if placeholder.groups > 1 else None
        if default is not None:
            return str(default)
        note(f"{name}: {found[0]} stands in its url as it is: {variable} is not set here; write the value there")
        return found[0]

    return placeholder.sub(value, text)


def section(tree: Any, what: str) -> dict[str, Any]:
    """A part of a file that must be a mapping; nothing is an empty one. Raises ConfigError."""
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{what} is not a section with keys; is the file whole?")
    return {str(key): value for key, value in tree.items()}
