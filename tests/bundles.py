"""The real model for tests: loaded once, or the reason why it cannot be."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llama_vid.commands.inventory import find_bundles, find_parts

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle


def skip_without_mini() -> None:
    """Skips the test where the bundle or one of its pretrained parts is not installed."""
    if not any(item.name == "mini" for item in find_bundles()):
        pytest.skip("the bundle mini is not in this installation")
    missing = [item.name for item in find_parts() if item.state != "here"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; run: llama-vid models fetch")


@functools.cache
def mini() -> Bundle:
    """The bundle `mini`, loaded."""
    skip_without_mini()
    from llama_vid.bundle import load_bundle

    return load_bundle("mini")


def film(name: str = "bikes.mp4") -> Path:
    """A sample film: ten seconds of cyclists and cars, unless another is named."""
    from benchmarks.samples import sample_film

    return sample_film(name)
