"""A camera that speaks, on the real bundle: captions while it plays, lines in the journal, an alert on a word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from llama_vid.caption_desk import TRANSCRIPT
from llama_vid.errors import BundleError
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.speech.whisper import WHISPER
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.settings_captions import CaptionSettings
from tests.bundles import mini
from tests.peers.sound import write_sound

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]


def speaking(data: Path, target: Path) -> Path:
    """A film in which a president speaks, eleven seconds."""
    with av.open(str(data / "speech" / "jfk.flac")) as file:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        parts = [part.to_ndarray()[0] for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    wave = np.concatenate(parts).astype(np.float32)
    return write_sound(target, wave, codec="aac", film_s=len(wave) / 16_000)


async def test_what_is_said_is_told_kept_and_raises_an_alert(data: Path, tmp_path: Path) -> None:
    try:
        WHISPER.path()
    except BundleError as missing:
        pytest.skip(str(missing))
    from llama_vid.model import LLaMAVID

    film = speaking(data, tmp_path / "talk.mp4")
    said: list[CaptionEvent] = []
    alerts: list[AlertChange] = []
    lines_said: list[Line] = []
    heard = asyncio.Event()

    def alert(change: AlertChange) -> None:
        alerts.append(change)
        heard.set()

    with Journal(tmp_path / "memory") as journal:
        model: LLaMAVID = LLaMAVID(mini(), journal=journal)
        rule = Rule("country", heard=("your country",), cooldown=0.0)
        watching = model.watch(
            str(film), name="hall", rules=[rule], on_alert=alert, captions=CaptionSettings(), on_caption=said.append
        )
        async with watching as session, asyncio.timeout(90):
            session.on_line(lines_said.append)
            await heard.wait()
            asked = [piece async for piece in session.ask("What did the speaker say about your country?")][-1].answer
            moments = await session.search("ask what you can do for your country")
            chapters = await session.chapters()
            counts, heard_to = session.hearing, session.heard_to
        model.close()
        journal.flush()
        lines = journal.camera("hall").records(TRANSCRIPT, float("-inf"), float("inf"))
    final = " ".join(event.line.text for event in said if event.type == "final" and event.line is not None).lower()
    assert "what your country can do for you" in final
    assert "what your country can do" in " ".join(line.text for line in lines).lower()
    assert all(line.data["words"] for line in lines)
    assert asked is not None
    assert "country" in asked.answer.lower()
    assert asked.evidence
    began = lines_said[0].start
    assert all(began - 0.5 <= at <= began + 15 for at in asked.timestamps)
    assert "country" in moments[0].heard.lower()
    assert len(chapters) == 1
    assert chapters[0].start == pytest.approx(began, abs=2)
    assert counts is not None
    assert counts.words > 10
    assert heard_to is not None
    assert heard_to > began
    assert alerts[0].type == "new"
    assert "your country" in alerts[0].event.text.lower()
