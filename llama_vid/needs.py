"""What a bundle needs that does not come with it: the weights of another image tower or language model.

In a bundle's manifest (a bundle without these keys is made for the parts of `mini`, see `tokenizer/parts.py`):

    "tower":    {"name": an open_clip model, "weights": file, "sha256": …, "get": where it is to be had}
    "language": {"folder": a transformers folder, "files": {file: sha256, …}, "get": …}

Paths are as the training recipe named them: absolute, or relative to where the command runs. A part that is not there
is looked for by its name beside the bundle's manifest, and in the folder that LLAMA_VID_WEIGHTS names. Loads no torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from llama_vid.errors import BundleError
from llama_vid.tokenizer.parts import sha256_of

PLACES: Final = "LLAMA_VID_WEIGHTS"
#: What of a language model's folder is hashed: all that changes what it says.
LANGUAGE_FILES: Final = ("*.safetensors", "config.json", "tokenizer.json", "model.safetensors.index.json")
#: Beside the weights: embeddings on their way, kernels, one layer's weights twice while they are joined.
OVERHEAD: Final = 1.1


@dataclass(frozen=True, slots=True)
class TowerNeed:
    """An open_clip model by name, with its weights file."""

    name: str
    weights: str
    sha256: str
    get: str = ""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self | None:
        """What a manifest asks for; None for the tower of `mini`. Raises BundleError."""
        return None if "tower" not in manifest else _told(cls, "tower", manifest["tower"])

    def find(self, bundle: Path) -> Path:
        """The weights file, its hash compared. Raises BundleError that says how to get it."""
        path = place(self.weights, bundle)
        if path is None or not path.is_file():
            raise BundleError(
                f"the bundle {bundle.name} needs the weights of the image tower {self.name}: {self.weights} is not "
                f"there{_hint(self.get)}. Put it beside the bundle's manifest, or name its folder in {PLACES}"
            )
        _compare(path, self.sha256, f"the image tower {self.name}", bundle)
        return path

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"name": self.name, "weights": self.weights, "sha256": self.sha256, "get": self.get}


@dataclass(frozen=True, slots=True)
class LanguageNeed:
    """A Llama-family model's folder, as transformers' `save_pretrained` writes it, with the hashes of its files."""

    folder: str
    files: Mapping[str, str] = field(default_factory=dict)
    get: str = ""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self | None:
        """What a manifest asks for; None for the language model of `mini`. Raises BundleError."""
        return None if "language" not in manifest else _told(cls, "language", manifest["language"])

    @classmethod
    def made(cls, folder: Path, get: str) -> Self:
        """Of a folder that is here."""
        return cls(str(folder), {path.name: sha256_of(path) for path in language_files(folder)}, get)

    def find(self, bundle: Path) -> Path:
        """The folder, the hashes of its files compared. Raises BundleError that says how to get it."""
        path = place(self.folder, bundle)
        if path is None or not path.is_dir():
            raise BundleError(
                f"the bundle {bundle.name} needs the language model {Path(self.folder).name}: the folder {self.folder} "
                f"is not there{_hint(self.get)}. Put it beside the bundle's manifest, or name the folder that holds it "
                f"in {PLACES}"
            )
        for file, digest in self.files.items():
            if not (path / file).is_file():
                raise BundleError(f"{path} lacks {file}, which the bundle {bundle.name} needs; fetch it again")
            _compare(path / file, digest, "the language model", bundle)
        return path

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"folder": self.folder, "files": dict(self.files), "get": self.get}


def language_files(folder: Path) -> Iterator[Path]:
    """The files of a language model's folder that are hashed."""
    for pattern in LANGUAGE_FILES:
        yield from sorted(folder.glob(pattern))


def parameters(files: Iterator[Path] | list[Path]) -> int:
    """How many numbers safetensors files hold, read from their headers. Raises BundleError."""
    total = 0
    for path in files:
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, MemoryError) as problem:
            raise BundleError(f"{path} cannot be read as safetensors ({problem}); fetch it again") from None
    return total


def language_bytes(folder: Path, itemsize: int) -> int:
    """Memory that a language model takes once loaded with `itemsize` bytes a weight. Raises BundleError."""
    return int(parameters(sorted(folder.glob("*.safetensors"))) * itemsize * OVERHEAD)


def free_bytes() -> int | None:
    """Memory that new data may take on this machine; None where it does not say (only Linux does)."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def refuse_if_too_large(what: str, needed: int, free: int | None) -> None:
    """Raises BundleError if `needed` bytes are more than are free: the machine would swap or kill the program."""
    if free is not None and needed > free:
        raise BundleError(
            f"{what} needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free here; take a smaller model, "
            "a machine with more memory, or --dtype bf16"
        )


def _told(kind: Any, part: str, told: Any) -> Any:
    try:
        return kind(**dict(told))
    except TypeError:
        raise BundleError(
            f"the manifest does not say which {part} the bundle needs ({told!r}); export the bundle again"
        ) from None


def place(named: str, bundle: Path) -> Path | None:
    """Where a part lies: as it was named, beside the bundle's manifest, or in the folder that PLACES names."""
    path = Path(named)
    folders = [bundle, *(Path(folder) for folder in os.environ.get(PLACES, "").split(os.pathsep) if folder)]
    return next((each for each in (path, *(folder / path.name for folder in folders)) if each.exists()), None)


def _hint(get: str) -> str:
    return f" (to be had from: {get})" if get else ""


def _compare(path: Path, digest: str, what: str, bundle: Path) -> None:
    if (found := sha256_of(path)) != digest:
        raise BundleError(
            f"{path} is not the file of {what} that the bundle {bundle.name} was trained with: sha256 is "
            f"{found[:12]}…, expected {digest[:12]}…; get the right one, or train the bundle for this one"
        )
