"""A part of a bundle that is made by itself, beside the stages of training, and put into a bundle that is there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from llama_vid.bundle import MANIFEST, read_manifest
from llama_vid.tokenizer.parts import sha256_of


def put_part(tensors: Mapping[str, Tensor], bundle: Path, file: str) -> None:
    """Put tensors into a bundle's folder as `file`; the manifest comes last. Raises BundleError if it is no bundle."""
    manifest = read_manifest(bundle)
    fresh = bundle / f".{file}"
    save_file({key: value.contiguous() for key, value in tensors.items()}, fresh)
    fresh.chmod(0o644)
    manifest["files"] = dict(sorted((manifest["files"] | {file: sha256_of(fresh)}).items()))
    text = bundle / f".{MANIFEST}"
    text.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    os.replace(fresh, bundle / file)
    os.replace(text, bundle / MANIFEST)
