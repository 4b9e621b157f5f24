"""The real model with a journal, for the tests of this folder that want one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llama_vid.memory.journal import Journal
from tests.bundles import mini

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path) as opened:
        yield opened


@pytest.fixture
def model(journal: Journal) -> Iterator[LLaMAVID]:
    """The real model with a journal; its thread ends with the test."""
    bundle = mini()
    from llama_vid.model import LLaMAVID

    made = LLaMAVID(bundle, journal=journal)
    yield made
    made.close()
