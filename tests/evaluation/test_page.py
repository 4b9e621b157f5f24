"""The report's page in headless Chromium: it filters, keeps its filters in the address, and complains about nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.case import Case
from evaluation.frames import Frames
from evaluation.page import write_page
from evaluation.plots import write_plots
from evaluation.suite import Finished, Report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script><script>document.title = 'hacked'</script><img src=x onerror=\"document.title='hacked'\">"
YESNO = {
    "name": "yesno", "n": 3, "route": "all", "system": "llama-vid", "accuracy": 0.5, "by_kind": {"film": 1, "sport": 0},
    "baselines": {"blind": {"accuracy": 0.4}, "full": {"missing": "not <b>trained</b>"}},
}  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with three questions about photos, and a task that was skipped."""
    cases = []
    for number, (kind, right, said) in enumerate(
        (("film", True, "Yes."), ("sport", False, "No."), ("sport", True, EVIL))
    ):
        photo = tmp_path / f"photo {number}.jpg"
        Image.fromarray(np.full((60, 80, 3), 60 * number, dtype=np.uint8)).save(photo)
        cases += [
            Case(kind, photo, f"Question {number}?", "yes", said, right),
            Case(kind, photo, f"Question {number}?", "yes", "Perhaps.", not right, system="blind"),
        ]
    frames = Frames(tmp_path / "out" / "frames")
    frames.take(cases)
    shown = tuple(case.to_json() | {"frames": frames.of(case)} for case in cases)
    finished = (
        Finished("yesno", "all", "abc", "p", None, 3.0, YESNO, shown),
        Finished("moments", "all", "abc", "p", None, 0.0, skipped="there is no folder"),
    )
    report = Report("abc", "p", "mini", None, "2026-01-01T00:00:00+00:00", 3.0, 2, finished)
    plots = write_plots([YESNO], tmp_path / "out")
    return write_page(report, tmp_path / "out", plots, took="3 s")


def test_nothing_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    assert "innerHTML" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "not &lt;b&gt;trained" in text
    assert "skipped: there is no folder" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_filtering(browser, page: Path, width: int) -> None:  # type: ignore[no-untyped-def]
    problems: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda problem: problems.append(str(problem)))
    tab.goto(page.as_uri())

    def questions() -> list[str]:
        return [str(each.inner_text()) for each in tab.query_selector_all("article h3")]

    assert questions() == ["Question 1?"], "what ours got wrong comes first"
    assert tab.inner_text("#count") == "1 question"
    tab.select_option("#outcome", "")
    assert len(questions()) == 3
    tab.select_option("#kind", "sport")
    tab.select_option("#system", "blind")
    tab.select_option("#outcome", "right")
    assert questions() == ["Question 1?"]
    assert "kind=sport" in tab.url
    tab.reload()
    assert questions() == ["Question 1?"], "the filters are in the address"
    tab.select_option("#outcome", "")
    tab.fill("#text", "hacked")
    assert questions() == ["Question 2?"]
    assert tab.text_content("article dd") == EVIL, "what a model wrote stays text"
    assert tab.title().startswith("LLaMA-VID Live: evaluation of mini")
    assert tab.evaluate("document.querySelector('article img').naturalWidth") > 0
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert problems == []
    tab.close()
