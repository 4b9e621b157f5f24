"""Processes that watch a made-up camera into a journal until they are killed: `python -m tests.memory.journal_child`.

Told "FOLDER SEED" in a line, it forks one (torch is loaded once) and says "watching PID" when that one's journal is
open. The child lets a second go by every few milliseconds and says "SECONDS MONOTONIC" after each. When it has ended,
"gone" is said. The bank is a real one, small enough to consolidate often.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import torch

from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import ToldSpan
from llama_vid.tokenizer.pair import TokenPair

#: How a JPEG begins and ends.
JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff\xe0", b"\xff\xd9"
#: Bytes of a picture: enough for several pages of a file system.
PICTURE_BYTES = 9_000


def picture(seconds: float) -> bytes:
    """What stands for the JPEG of a second: its length and content follow from the second."""
    body = f"{seconds:.3f};".encode() * (PICTURE_BYTES // 8 + int(seconds) % 1000)
    return JPEG_BEGIN + body + JPEG_END


def say(line: str) -> None:
    """Write a line at once and in one piece."""
    os.write(1, f"{line}\n".encode())


def watch(folder: Path, seed: int) -> None:
    """Go on where the journal ends, for ever."""
    luck = random.Random(seed)
    torch.manual_seed(seed)
    anchor, still = torch.randn(64), torch.randn(64)
    journal = Journal(folder)
    camera = journal.camera("front")
    bank = MemoryBank(Budget(context=80, prompt=0, marks=0, evidence=0, answer=0, frames_tokens=80, mark_count=1))
    bank.restore(camera.restore())
    bounds = camera.bounds
    seconds = 1000.0 if bounds is None else bounds[1] + 2.0
    scene = 0
    say(f"watching {os.getpid()}")
    while True:
        cut, moving = luck.random() < 0.05, luck.random() < 0.5
        if cut:
            anchor, scene = torch.randn(64), scene + 1
        pair = TokenPair(anchor, torch.randn(64) if moving else still, 0.5 * moving, held=not cut, cut=cut)
        embedding = torch.randn(128)
        change = bank.append(
            MemoryEntry(seconds, seconds + 1.5, pair, embedding / embedding.norm(), 1, pair.energy, scene)
        )
        if change.trimmed is not None:
            camera.extend(change.trimmed)
        if change.gone:
            camera.consolidate(change.gone, change.come)
        (camera.extend if change.extended else camera.append)(change.entry)
        camera.picture(seconds, picture(seconds))
        if cut:
            camera.tell(ToldSpan(seconds, seconds + 1.0, "a scene", 0.5))
        say(f"{seconds} {time.monotonic()}")
        seconds += 1.0
        time.sleep(luck.uniform(0.002, 0.006))


if __name__ == "__main__":
    torch.set_num_threads(1)  # no threads before a fork
    for line in sys.stdin:
        folder, seed = line.rsplit(maxsplit=1)
        child = os.fork()
        if child == 0:
            watch(Path(folder), int(seed))
        os.waitpid(child, 0)
        say("gone")
