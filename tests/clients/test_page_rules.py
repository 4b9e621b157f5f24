"""The page's rule editor in headless Chromium: a rule tried while one types, and the zone that is drawn for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page

from tests.clients.browsing import Complaints, needs_chromium, serious
from tests.server.running import RunningServer, running_server, until

pytestmark = [pytest.mark.peer, needs_chromium]

BOX = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two scripted cameras; tests leave them as they are."""
    with running_server() as running:
        yield running


def corners(server: RunningServer) -> tuple[tuple[float, float], ...] | None:
    """The zone that the last rule was tried with."""
    zone = server.model.tried_rules[0].zone
    return zone.corners if zone is not None else None


def editor(page: Page, sight: str = "a dog on the grass") -> None:
    page.click("#tab-rules")
    page.fill('[name="when"]', sight)
    page.wait_for_selector("text=Would have fired once in 20 s.")


def corner(page: Page, number: int) -> Locator:
    return page.locator(".handle.corner").nth(number)


def where(page: Page, x: float, y: float) -> tuple[float, float]:
    """A point of the picture on the screen."""
    box = page.locator("#zone").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*where(page, *begin))
    page.mouse.down()
    page.mouse.move(*where(page, *end), steps=4)
    page.mouse.up()


def test_a_rule_is_tried_while_one_types(front: Page, server: RunningServer, complaints: Complaints) -> None:
    editor(front)
    assert server.model.tried == ("front", ["dog"], 0.0, 21.0)
    assert corners(server) is None
    assert front.locator(".curve .score").count() == 1
    assert front.inner_text("#yaml").rstrip().endswith('- name: dog\n        when: "a dog on the grass"')
    front.click("summary")
    front.fill('[name="hold"]', "soon")
    front.wait_for_selector('#trial[data-kind="problem"]')
    assert "soon" in front.inner_text("#trial")
    # The browser notes the request that was refused.
    assert [line for line in complaints.found if "422" not in line] == []
    complaints.found.clear()


def test_a_box_is_drawn_on_the_picture(front: Page, server: RunningServer) -> None:
    editor(front)
    assert front.is_hidden("#zone")
    front.check('[name="where"][value="box"]', force=True)
    assert "zone: [0.25, 0.25, 0.75, 0.75]" in front.inner_text("#yaml")
    front.wait_for_selector("text=Would have fired once in 20 s, in this zone.")
    assert corners(server) == BOX
    # The zone lies over the picture, which is 16 to 9, and not over the bars beside it.
    shape = front.locator("#zone").bounding_box()
    assert shape is not None
    assert shape["width"] / shape["height"] == pytest.approx(64 / 36, rel=0.01)
    # A corner; all of it, as far as the picture goes; another one.
    drag(front, (0.25, 0.25), (0.1, 0.3))
    drag(front, (0.5, 0.5), (0.9, 0.55))
    until(lambda: "zone: [0.35, 0.35, 1, 0.8]" in front.inner_text("#yaml"), "the box at its new place")
    drag(front, (0.05, 0.9), (0.3, 0.1))
    until(lambda: "zone: [0.05, 0.1, 0.3, 0.9]" in front.inner_text("#yaml"), "the new box")
    assert front.input_value("#zone-bottom") == "90"
    until(lambda: corners(server) == ((0.05, 0.1), (0.3, 0.1), (0.3, 0.9), (0.05, 0.9)), "the rule with the new box")
    front.wait_for_selector("#found .zone-over .zone-edge", state="attached")
    # Another tab needs no zone, and another camera has its own picture.
    front.click("#tab-memory")
    assert front.is_hidden("#zone")
    front.click("#tab-rules")
    assert front.is_visible("#zone")
    front.click('#camera-list [data-id="back"]')
    front.wait_for_selector("#zone", state="hidden")
    assert front.is_checked('[name="where"][value="all"]')


def test_a_zone_is_drawn_by_keyboard(front: Page, server: RunningServer) -> None:
    editor(front)
    front.check('[name="where"][value="box"]', force=True)
    front.fill("#zone-left", "10")
    until(lambda: "zone: [0.1, 0.25, 0.75, 0.75]" in front.inner_text("#yaml"), "the box of the numbers")
    front.fill("#zone-left", "80")
    assert "left less than right" in front.inner_text("#zone-problem")
    assert "zone: [0.1, 0.25, 0.75, 0.75]" in front.inner_text("#yaml")
    front.fill("#zone-left", "20")
    assert front.inner_text("#zone-problem") == ""
    front.check('[name="where"][value="polygon"]', force=True)
    corner(front, 0).focus()
    front.keyboard.press("ArrowLeft")
    front.keyboard.press("Shift+ArrowUp")
    assert corner(front, 0).get_attribute("aria-label") == "Corner 1: 19 % from the left, 15 % from the top"
    front.locator(".handle.add").nth(1).focus()
    front.keyboard.press("Enter")
    front.keyboard.press("Shift+ArrowRight")
    five = ((0.19, 0.15), (0.75, 0.25), (0.85, 0.5), (0.75, 0.75), (0.2, 0.75))
    until(lambda: corners(server) == five, "the rule with its polygon")
    assert serious(front) == []
    front.keyboard.press("Delete")
    assert front.locator(".handle.corner").count() == 4
    assert front.evaluate("document.activeElement.dataset.number") == "2"
    front.keyboard.press("Delete")
    front.keyboard.press("Delete")  # three are the least
    assert front.locator(".handle.corner").count() == 3
    front.check('[name="where"][value="all"]', force=True)
    until(lambda: corners(server) is None, "the rule without a zone")
