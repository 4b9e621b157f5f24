"""What the tests of speech share: a made-up talk, and the real model where its package is installed."""

from __future__ import annotations

import pytest

from llama_vid.errors import BundleError
from llama_vid.llm.speech.whisper import SpeechModel
from tests.llm.speech.talk import loud

__all__ = ["loud"]


@pytest.fixture(scope="session")
def whisper() -> SpeechModel:
    """The bundled model; the test is skipped where its package is missing."""
    try:
        return SpeechModel.load("mini", device="cpu")
    except BundleError as missing:
        pytest.skip(str(missing))
