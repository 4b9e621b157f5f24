"""A GGUF language model converted once to safetensors, kept in the user's cache folder.

transformers dequantises a GGUF in about 17 s; the safetensors copy loads in well under one. The copy's folder is named
by the GGUF's SHA-256 and the versions of what wrote it, so that a new part or library never meets an old copy:

    $XDG_CACHE_HOME/llama-vid/language/<key>/config.json  model.safetensors  tokenizer.json  manifest.json
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from llama_vid.errors import BundleError
from llama_vid.tokenizer.parts import Part

#: Grows when the copy's layout changes.
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
KEPT: Final = ("config.json", "model.safetensors", "tokenizer.json")


def cache_folder() -> Path:
    """The program's cache folder: `llama-vid` under XDG_CACHE_HOME (default ~/.cache). Not created here."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "llama-vid"


def converted(part: Part) -> Path:
    """The folder of the safetensors copy of a GGUF part, made now if it is missing or damaged.

    Several processes may call at once: one converts, the others wait for it. Raises BundleError if the part is missing
    or damaged, or the cache folder cannot be written.
    """
    key = f"{part.sha256[:16]}-transformers-{version('transformers')}-f{FORMAT}"
    return prepared(cache_folder() / "language" / key, lambda folder: _convert(part, folder))


def prepared(folder: Path, write: Callable[[Path], None], check: Callable[[Path], bool] | None = None) -> Path:
    """`folder` with its files intact, filled by `write(empty folder)` if it is missing or damaged.

    The new folder takes its place by one rename, so that nobody ever sees half of it. `check` says whether they are
    (default: `intact`). Raises BundleError if the place cannot be written.
    """
    whole = check or intact
    if whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(folder.name + ".lock")):
            if whole(folder):  # another process made it while this one waited
                return folder
            fresh = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
            try:
                write(fresh)
                _seal(fresh)
                if folder.exists():
                    shutil.rmtree(folder)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"the converted weights cannot be written to {folder.parent}: {error.strerror or error}; "
            "make room there or set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return folder


def intact(folder: Path) -> bool:
    """Whether all files of a sealed folder are there with the sizes and checksums that they were written with."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return bool(manifest) and all(_stamp(folder / name) == stamp for name, stamp in manifest.items())
    except (OSError, ValueError, AttributeError):
        return False


def _seal(folder: Path) -> None:
    """Write the manifest: for each file its size in bytes and CRC-32."""
    stamps = {path.name: _stamp(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(stamps), "utf-8")


def _stamp(path: Path) -> list[int]:
    # CRC-32 finds accidents (a torn write, a bad disk) at memory speed; it is no defence against a forger, who could
    # as well change the program in the same home folder.
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
        return [file.tell(), crc]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file closes, also when the process is killed
        yield


def _convert(part: Part, folder: Path) -> None:
    gguf = part.verify()
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils

    # AutoModelForCausalLM.from_pretrained(gguf_file=…) does the same through accelerate, which nothing else here needs.
    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    from_config: Any = AutoModelForCausalLM.from_config
    load_gguf: Any = modeling_gguf_pytorch_utils.load_gguf_checkpoint
    with torch.device("meta"):
        model = from_config(config)
    tensors = load_gguf(str(gguf), True, model, torch.bfloat16)["tensors"]
    lacking = set(model.state_dict()) - set(tensors) - ({"lm_head.weight"} if config.tie_word_embeddings else set())
    if lacking:
        raise BundleError(
            f"{gguf.name} of {part.distribution} lacks {len(lacking)} weights, such as {min(lacking)}; "
            "use a GGUF of a whole Llama-family model"
        )
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        if path.name not in KEPT:
            path.unlink()
