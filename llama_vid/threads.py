"""One budget of processor threads for the model and for FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llama_vid.stream.recording import DECODING_THREADS


@contextmanager
def beside_decoding() -> Iterator[None]:
    """While a film is decoded, torch works with the threads that decoding leaves, at least one.

    More would cost more than they bring: every operator waits for its slowest thread, and that one waits for a core.
    On two cores 300 s of 720p film took 6.2 s with one torch thread and 9.9 s with two (31 s with other programs
    about). The number is the process's: call this where nothing else computes.
    """
    whole = torch.get_num_threads()
    torch.set_num_threads(max(1, whole - DECODING_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(whole)
