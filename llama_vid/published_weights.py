"""The tensors of a published checkpoint, read without unpickling code and one at a time.

`.safetensors` are read where they lie. `.bin` and `.pth` files are read once, with `weights_only=True` (nothing but
tensors passes, and no code runs), and written as safetensors into the cache:

    $XDG_CACHE_HOME/llama-vid/published/<key>/part-00001.safetensors …  manifest.json

The key stands for the files' names, sizes and times; the copy takes as much room as the checkpoint (14 GB for 7B).
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm.converted import MANIFEST, cache_folder, prepared

#: Bytes of tensors in one file of a converted copy: what the conversion holds in memory at once.
PART: Final = 1 << 30
_PICKLED: Final = (".bin", ".pth", ".pt")


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by key: the safetensors file in which each lies, and its shape."""

    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """Of safetensors files, from their headers. Raises BundleError for one that is damaged or a key found twice."""
        files: dict[str, Path] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            try:
                with safe_open(path, framework="pt") as file:
                    for key in file.keys():  # noqa: SIM118 (not a mapping)
                        if key in files:
                            raise BundleError(f"{key} is in {files[key].name} and in {path.name}; keep one of the two")
                        files[key], shapes[key] = path, tuple(file.get_slice(key).get_shape())
            except (SafetensorError, OSError) as problem:
                raise BundleError(f"{path} cannot be read as safetensors ({problem}); fetch it again") from None
        return cls(files, shapes)

    def tensors(self, keys: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """These tensors, file by file, each file opened once."""
        by_file: dict[Path, list[str]] = {}
        for key in keys:
            by_file.setdefault(self.files[key], []).append(key)
        for path, wanted in by_file.items():
            with safe_open(path, framework="pt") as file:
                for key in wanted:
                    yield key, file.get_tensor(key)


def checkpoint_weights(folder: Path) -> Weights:
    """The weights of a checkpoint's folder. Raises BundleError for missing or damaged files."""
    return Weights.of(readable(listed(folder)))


def listed(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: by its index, else by their usual names. Raises BundleError."""
    for index, pattern in (
        ("model.safetensors.index.json", "model*.safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model*.bin"),
    ):
        if (folder / index).is_file():
            try:
                named = json.loads((folder / index).read_text("utf-8"))["weight_map"].values()
                found = [folder / Path(name).name for name in sorted(set(named))]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
                raise BundleError(f"{folder / index} cannot be read ({problem}); fetch it again") from None
        else:
            found = sorted(folder.glob(pattern))
        if lacking := [path.name for path in found if not path.is_file()]:
            raise BundleError(f"{folder} lacks {lacking[0]}, which {index} names; fetch it again")
        if found:
            return found
    raise BundleError(
        f"{folder} holds no weights: neither model*.safetensors nor pytorch_model*.bin; fetch the whole checkpoint"
    )


def readable(paths: Sequence[Path]) -> list[Path]:
    """The same weights as safetensors files: those that are, and the converted copy of the others, made now if needed.

    Raises BundleError if a file holds more than tensors or is damaged, or if there is no room for the copy.
    """
    pickled = [path for path in paths if path.suffix in _PICKLED]
    if not pickled:
        return list(paths)
    about = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in pickled]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    copy = cache_folder() / "published" / key
    if not complete(copy):
        _refuse_without_room(copy, sum(size for _, size, _ in about))
    copy = prepared(copy, lambda fresh: _convert(pickled, fresh), check=complete)
    return [*(path for path in paths if path not in pickled), *sorted(copy.glob("*.safetensors"))]


def complete(folder: Path) -> bool:
    """Whether all files of a converted copy are there with their sizes: cheap, for many gigabytes at every start."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        return bool(manifest) and all((folder / name).stat().st_size == size for name, (size, _) in manifest.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _refuse_without_room(copy: Path, size: int) -> None:
    place = next((parent for parent in copy.parents if parent.is_dir()), Path("/"))
    free = shutil.disk_usage(place).free
    if free < size * 1.02:
        raise BundleError(
            f"the checkpoint is converted to safetensors once, which takes {size / 1e9:.1f} GB in {copy.parent}, and "
            f"{free / 1e9:.1f} GB are free there; make room or set XDG_CACHE_HOME to another disk"
        )


def _convert(paths: Sequence[Path], folder: Path) -> None:
    part: dict[str, Tensor] = {}
    size = count = 0

    def write() -> None:
        nonlocal part, size, count
        count += 1
        save_file(part, folder / f"part-{count:05}.safetensors")
        part, size = {}, 0

    seen: set[str] = set()
    for path in paths:
        for key, tensor in _unpickled(path):
            if key in seen:
                raise BundleError(f"{key} is in two files of {path.parent}; keep one of the two")
            seen.add(key)
            part[key] = tensor.detach().clone(memory_format=torch.contiguous_format)
            size += part[key].nbytes
            if size >= PART:
                write()
    if part:
        write()


def _unpickled(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Key and tensor of everything in a file that torch.save wrote. Raises BundleError."""
    try:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped into memory
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BundleError(
            f"{path} holds more than tensors, which could run as a program; it is not read. Get the checkpoint "
            "from its authors, or as safetensors"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise BundleError(f"{path} cannot be read ({reason}); fetch it again") from None
    if not isinstance(found, dict):
        raise BundleError(f"{path} holds no tensors by name; fetch the checkpoint again")
    for key, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise BundleError(f"{path} holds {key!r}, which is no tensor; it is not a checkpoint's part")
        yield str(key), tensor
