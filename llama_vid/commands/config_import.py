"""`config import`: a configuration made from the camera list of Frigate or go2rtc."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llama_vid.commands.failure import without_credentials
from llama_vid.commands.terminal import Json, write_json
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from llama_vid.camera_lists import CameraLists

#: Where a broker's password goes, beside the configuration: ours never holds it.
PASSWORD_FILE: Final = "mqtt-password"
LARGEST: Final = 4_000_000


def import_cameras(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Frigate's config.yml, or a go2rtc.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The configuration to write.")] = Path(
        "llama-vid.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a configuration from the cameras of Frigate or go2rtc. Passwords go into the new file, and nowhere else."""
    found = read_lists(file)
    if not found.cameras:
        raise ConfigError(f"{file}: no camera in it can be taken over: {'; '.join(found.notes) or 'it names none'}")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already; give another file with -o, or replace it with --force")
    _write(found, file, output)
    notes = [without_credentials(note) for note in found.notes]
    names = [camera.name for camera in found.cameras]
    if as_json:
        write_json({"file": str(output), "program": found.program, "cameras": names, "notes": notes})
        return
    print(f"{output}: {len(names)} camera{'s' if len(names) > 1 else ''} of {found.program}: {', '.join(names)}")
    for note in notes:
        print(f"note: {note}")
    print(f"Look at it, then try: llama-vid doctor --config {output}", file=sys.stderr)


def read_lists(file: Path) -> CameraLists:
    """The camera list of a file, whichever of the two programs it belongs to. Raises ConfigError."""
    from llama_vid.camera_lists import section
    from llama_vid.import_frigate import from_frigate
    from llama_vid.import_go2rtc import from_go2rtc

    tree = section(_tree(file), str(file))
    if isinstance(tree.get("cameras"), dict):
        return from_frigate(tree)
    if "streams" in tree:
        return from_go2rtc(tree)
    raise ConfigError(f"{file}: neither Frigate's (cameras:) nor go2rtc's (streams:) configuration")


def _tree(file: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"{file}: larger than {LARGEST} bytes, so not a configuration")
        return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigError(f"{file}: cannot be read ({problem.strerror})") from None
    except (YAMLError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{file}{where}: not valid YAML: {getattr(problem, 'problem', None) or 'unreadable'}"
        ) from None


def _write(found: CameraLists, source: Path, output: Path) -> None:
    """Writes the configuration, for its owner's eyes alone, once it is known to be right. Raises ConfigError."""
    from ruamel.yaml import YAML

    from llama_vid.config import load_config

    tree: dict[str, Any] = {}
    if found.mqtt is not None:
        tree["mqtt"] = dict(found.mqtt)
        if found.password is not None:
            tree["mqtt"]["password_file"] = PASSWORD_FILE
            _put(output.with_name(PASSWORD_FILE), found.password + "\n")
            found.notes.append(f"mqtt: its password is in {output.with_name(PASSWORD_FILE)}")
    tree["cameras"] = {
        camera.name: {"url": camera.url} | ({"captions": True} if camera.captions else {}) for camera in found.cameras
    }
    part = output.with_name(output.name + ".part")
    yaml = YAML()
    yaml.width = 4096  # an address stays on one line
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"# Made from {source.name} of {found.program} on {date.today()}. It holds passwords.\n")
            yaml.dump(tree, file)
        load_config(part)
        part.replace(output)
    except OSError as problem:
        raise ConfigError(f"{output} cannot be written ({problem.strerror}); give another file with -o") from None
    finally:
        part.unlink(missing_ok=True)


def _put(path: Path, secret: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret)
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); give another folder with -o") from None
