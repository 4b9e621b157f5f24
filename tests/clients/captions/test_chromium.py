"""Chromium takes our WebVTT as a track of a video, and shows it as a browser's own captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.clients.captions.vtt import vtt
from tests.clients.browsing import chromium, needs_chromium
from tests.clients.captions.test_cues import SPEECH, cues_of, spoken
from tests.peers.http import WebServer

pytestmark = [pytest.mark.peer, needs_chromium]

PAGE = "<!doctype html><video><track default kind=captions srclang=en src=captions.vtt></video>"
READ = """() => new Promise((done, fail) => {
  const track = document.querySelector('track');
  const read = () => done(Array.from(track.track.cues, cue => [cue.startTime, cue.endTime, cue.text]));
  if (track.readyState === 2) read();
  track.addEventListener('load', read);
  track.addEventListener('error', () => fail(new Error('the track did not load')));
})"""


def test_chromium_loads_every_cue_as_a_track(tmp_path: Path) -> None:
    cues = cues_of(spoken(f"{SPEECH} Tom & Jerry say <b>a</b> --> b."))
    (tmp_path / "captions.vtt").write_text(vtt(cues))
    (tmp_path / "page.html").write_text(PAGE)
    with WebServer(tmp_path) as server, chromium() as browser:
        page = browser.new_page()
        page.goto(server.url("page.html"))
        found = page.evaluate(READ)
        shown = page.evaluate("document.querySelector('video').textTracks[0].mode")
        plain = page.evaluate("document.querySelector('track').track.cues[0].getCueAsHTML().textContent")
    assert shown == "showing"
    assert plain == "\n".join(cues[0].lines)
    assert [(start, end) for start, end, _ in found] == [
        (pytest.approx(cue.start, abs=0.001), pytest.approx(cue.end, abs=0.001)) for cue in cues
    ]
    unescaped = [text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for *_, text in found]
    assert unescaped == ["\n".join(cue.lines) for cue in cues]
