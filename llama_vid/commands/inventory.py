"""What is installed here: the bundles in the package, and the pretrained parts that they need; loads neither."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from llama_vid.errors import BundleError
from llama_vid.needs import LanguageNeed, TowerNeed

PACKAGE = Path(__file__).resolve().parent.parent
BUNDLES = PACKAGE / "bundles"
PINS = PACKAGE / "requirements-models.txt"

State = Literal["here", "missing", "other version", "damaged"]


@dataclass(frozen=True, slots=True)
class Pin:
    """A line of requirements-models.txt: an ordinary package that carries a pretrained part."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Item:
    """A bundle or a part: whether it is here, how large, and what to do if it is not right ('' if it is)."""

    kind: Literal["bundle", "part"]
    name: str
    state: State
    size: int = 0
    detail: str = ""
    fix: str = ""


def read_pins(path: Path = PINS) -> list[Pin]:
    """The pinned packages. Raises BundleError where the list is not there (an incomplete installation)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise BundleError(f"{path} cannot be read ({problem.strerror}); install llama-vid-live again") from None
    pins = [line.split()[0].split("==") for line in lines if line.strip() and not line.startswith("#")]
    return [Pin(name, version) for name, version in pins]


def find_bundles(folder: Path = BUNDLES) -> list[Item]:
    """The bundles that came with the package, with their sizes in bytes."""
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [folder_bundle(place) for place in places if place.is_dir() and not place.name.startswith(("_", "."))]


def folder_bundle(place: Path) -> Item:
    """A bundle's folder with its size. Raises BundleError where there is none."""
    if not place.is_dir():
        raise BundleError(
            f"there is no model {str(place)!r} here; see: llama-vid models list, or give a bundle's folder"
        )
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return Item("bundle", place.name, "here", size, str(place))


def find_part(pin: Pin) -> Item:
    """Whether a part's package is installed in the pinned version."""
    fix = "run: llama-vid models fetch"
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return Item("part", pin.name, "missing", detail=f"version {pin.version} is wanted", fix=fix)
    if found.version != pin.version:
        return Item("part", pin.name, "other version", detail=f"{found.version}, wanted {pin.version}", fix=fix)
    return Item("part", pin.name, "here", _size(found), found.version)


def find_parts() -> list[Item]:
    """Every pretrained part."""
    return [find_part(pin) for pin in read_pins()]


def verify_part(item: Item) -> Item:
    """The item after the hash of every file of its package was compared with the package's own record."""
    if item.state != "here":
        return item
    found = distribution(item.name)
    for file in found.files or []:
        if file.hash is None or file.hash.mode != "sha256":
            continue
        path = Path(str(file.locate()))
        fix = f"run: pip install --force-reinstall --no-deps {item.name}=={found.version}"
        if not path.is_file():
            return Item("part", item.name, "damaged", item.size, f"{file} is missing", fix)
        if _record_hash(path) != file.hash.value:
            return Item("part", item.name, "damaged", item.size, f"{file} is not as it was installed", fix)
    return item


def verify_bundle(item: Item) -> Item:
    """The item after each file's hash was compared with the bundle's own list (`files` in bundle.json)."""
    place = Path(item.detail)
    fix = "install llama-vid-live again, or check the bundle's files out anew"
    try:
        manifest = json.loads((place / "bundle.json").read_text(encoding="utf-8"))
        hashes = {str(name): str(value) for name, value in manifest["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return Item("bundle", item.name, "damaged", item.size, "bundle.json is missing or lists no files", fix)
    for name, wanted in hashes.items():
        path = place / name
        if not path.is_file():
            return Item("bundle", item.name, "damaged", item.size, f"{name} is missing", fix)
        if _sha256(path).hexdigest() != wanted:
            return Item("bundle", item.name, "damaged", item.size, f"{name} is not the file that was published", fix)
    try:
        for need in (TowerNeed.of(manifest), LanguageNeed.of(manifest)):
            if need is not None:
                need.find(place)
    except BundleError as problem:  # it says what to do
        return Item("bundle", item.name, "missing", item.size, str(problem))
    return item


def _size(found: Distribution) -> int:
    return sum(file.size or 0 for file in found.files or [])


def _sha256(path: Path) -> hashlib._Hash:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")


def _record_hash(path: Path) -> str:
    """A file's hash as wheels record it: url-safe base64 without padding (PEP 427)."""
    import base64

    return base64.urlsafe_b64encode(_sha256(path).digest()).rstrip(b"=").decode()
