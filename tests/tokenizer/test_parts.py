"""Pretrained parts: found in their packages, and never used damaged."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from llama_vid.errors import BundleError
from llama_vid.tokenizer.parts import Part, sha256_of


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """A part in an importable package of its own."""
    package = tmp_path / "tiny_part_package"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('parts are found, not imported')\n")
    (package / "model" / "weights.bin").write_bytes(b"weights" * 1000)
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256(b"weights" * 1000).hexdigest()
    return Part("tiny_part_package", "tiny-part==1.0", "model/weights.bin", digest)


def test_found_and_intact(part: Part) -> None:
    assert part.path().name == "weights.bin"
    assert part.verify() == part.path()
    assert sha256_of(part.path()) == part.sha256
    assert part.package not in sys.modules


def test_damaged_missing_and_not_installed(part: Part) -> None:
    path = part.path()
    path.write_bytes(b"other")
    with pytest.raises(BundleError, match=r"weights\.bin of tiny-part==1\.0 is damaged.*--no-deps"):
        part.verify()
    path.unlink()
    with pytest.raises(BundleError, match=r"lacks model/weights\.bin; reinstall"):
        part.path()
    absent = Part("no_such_package_at_all", "no-such==1", "x", "0")
    with pytest.raises(BundleError, match="no-such==1 is not installed; run: make setup"):
        absent.path()
