"""A camera's rules at work: one open event each, its changes, pauses, schedules, new settings, second looks."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC
from zoneinfo import ZoneInfo

from llama_vid.llm.rules.album import Album
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.schedule import parse_schedule
from llama_vid.llm.rules.watcher import RuleWatcher
from llama_vid.memory.alerts import AlertChange
from tests.llm.rules.frames import Scripted, seen

DOG = Rule("dog", "a dog", hold=2.0, cooldown=0.0)
NIGHT = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


class Look:
    """A second look that takes two steps and says what it was told to."""

    def __init__(self, p: float) -> None:
        self.p = p
        self.albums: list[list[float]] = []

    def looking(self, rule: Rule, album: Album) -> Generator[None, None, tuple[float, str]]:
        self.albums.append([shown.seen.seconds for shown in album])
        yield
        yield
        return self.p, f"{rule.when}, looked at twice"


def told(changes: list[AlertChange]) -> list[tuple[str, str, float, float | None, float]]:
    return [(each.type, each.event.rule, each.event.start, each.event.end, each.at) for each in changes]


def watch(watcher: RuleWatcher, seconds: range | list[float]) -> list[AlertChange]:
    return [change for second in seconds for change in watcher.see(seen(float(second)))]


def test_an_event_begins_at_once_and_ends_when_it_is_quiet() -> None:
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": [0.1, 0.1, 0.8, 0.9, 0.95, 0.7, *[0.1] * 20]}))
    changes = watch(watcher, range(20))
    assert told(changes) == [("new", "dog", 2.0, None, 4.0), ("end", "dog", 2.0, 6.0, 11.0)]
    new, end = (change.event for change in changes)
    assert (new.id, new.camera, new.text) == (end.id, "front", "a dog at 3")
    assert (new.score, end.score) == (0.9, 0.95), "the highest so far"
    assert (new.before, new.frames) == (1.0, (3.0,))
    assert end.frames == (4.0, 2.0), "the best picture first, two seconds apart"
    assert (new.verified, end.verified) == (None, None)
    assert watcher.open == ()
    assert watcher.scores[3].scores == {"dog": 0.9}


def test_one_open_event_for_each_rule() -> None:
    cat = Rule("cat", "a cat", hold=2.0, cooldown=0.0)
    watcher = RuleWatcher("front", [DOG, cat], Scripted({"dog": [0.9] * 60, "cat": [0.0] * 5 + [0.9] * 60}))
    assert told(watch(watcher, range(60))) == [("new", "dog", 0.0, None, 2.0), ("new", "cat", 5.0, None, 7.0)]
    assert told(watcher.finish()) == [("end", "dog", 0.0, 60.0, 60.0), ("end", "cat", 5.0, 60.0, 60.0)]
    assert watcher.finish() == []


def test_new_settings_keep_what_is_open_of_rules_that_stay() -> None:
    cat = Rule("cat", "a cat", hold=2.0)
    watcher = RuleWatcher("front", [DOG, cat], Scripted({"dog": [0.9] * 60, "cat": [0.9] * 60}))
    watch(watcher, range(5))
    (dog, _) = watcher.open
    ended = watcher.apply([Rule("dog", "a dog", hold=2.0, cooldown=0.0), Rule("cat", "a black cat", hold=2.0)])
    assert told(ended) == [("end", "cat", 0.0, 5.0, 5.0)]
    assert watcher.open == (dog,)
    assert told(watch(watcher, range(5, 8))) == [("new", "cat", 5.0, None, 7.0)]
    assert told(watcher.apply([]))[0][:2] == ("end", "dog")
    assert watcher.rules == ()


def test_a_pause_ends_what_is_open_and_raises_nothing() -> None:
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": [0.9] * 60}))
    watch(watcher, range(5))
    watcher.paused = True
    assert told(watch(watcher, range(5, 20))) == [("end", "dog", 0.0, 5.0, 5.0)]
    watcher.paused = False
    assert told(watch(watcher, range(20, 25))) == [("new", "dog", 20.0, None, 22.0)]


def test_a_schedule_is_judged_in_the_camera_s_zone() -> None:
    rule = Rule("dog", "a dog", hold=2.0, schedule=parse_schedule(["23:00-23:14"]))
    script = {"dog": [0.9] * 120}
    for zone, expected in ((ZoneInfo("Europe/Berlin"), ["new", "end"]), (UTC, [])):
        watcher = RuleWatcher("front", [rule], Scripted(script, NIGHT), zone=zone)
        changes = watch(watcher, [NIGHT + second for second in range(120)])
        assert [change.type for change in changes] == expected
    # A recording whose beginning nobody knows has no time of day.
    watcher = RuleWatcher("front", [rule], Scripted(script), epoch=None)
    assert [change.type for change in watch(watcher, range(120))] == ["new"]
    watcher = RuleWatcher("front", [rule], Scripted(script), epoch=NIGHT)
    assert watch(watcher, range(120)) == []


def test_a_second_look_confirms() -> None:
    look = Look(0.9)
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": [0.9] * 60}), look)
    (new,) = watch(watcher, range(3))
    assert watcher.waiting
    steps = list(watcher.look_again())
    assert [len(step) for step in steps] == [0, 0, 1]
    (update,) = steps[-1]
    assert (update.type, update.event.id, update.event.verified) == ("update", new.event.id, True)
    assert update.event.text == "a dog, looked at twice"
    assert look.albums == [[0.0, 1.0, 2.0]]
    assert not watcher.waiting
    (end,) = watcher.finish()
    assert (end.event.verified, end.event.text) == (True, update.event.text)


def test_a_second_look_withdraws_and_the_same_thing_raises_nothing_more() -> None:
    scores = [0.8] * 40 + [0.97] * 5 + [0.1] * 20 + [0.8] * 5
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": scores}), Look(0.2))
    (new,) = watch(watcher, range(3))
    (withdrawn,) = list(watcher.look_again())[-1]
    assert (withdrawn.type, withdrawn.event.id, withdrawn.event.verified) == ("end", new.event.id, False)
    assert (withdrawn.event.end, withdrawn.event.withdrawn) == (3.0, True)
    assert watch(watcher, range(3, 40)) == []
    # What is clearly stronger is something else, and so is what comes after a pause.
    assert told(watch(watcher, range(40, 45))) == [("new", "dog", 40.0, None, 42.0)]
    list(watcher.look_again())
    assert [change.type for change in watch(watcher, range(45, 70))] == ["new"]


def test_what_is_over_is_not_looked_at_again() -> None:
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": [0.9] * 3}), Look(0.9))
    changes = watch(watcher, range(20))
    assert [change.type for change in changes] == ["new", "end"]
    assert list(watcher.look_again()) == []
    assert changes[-1].event.verified is None


def test_an_event_that_ends_during_its_second_look_stays_as_it_is() -> None:
    watcher = RuleWatcher("front", [DOG], Scripted({"dog": [0.9] * 3}), Look(0.2))
    watch(watcher, range(3))
    steps = watcher.look_again()
    assert next(steps) == []
    (end,) = watcher.finish()
    assert end.type == "end"
    assert [change for step in steps for change in step] == []


def test_what_is_heard_raises_an_event_of_its_own() -> None:
    rule = Rule("help", heard=("help me",), cooldown=10.0)
    watcher = RuleWatcher("front", [rule], Scripted({}))
    watch(watcher, range(5))
    (new,) = watcher.hear(3.0, 5.0, "Please, help me!")
    assert (new.type, new.event.start, new.event.text) == ("new", 3.0, 'Heard: help me. "Please, help me!"')
    assert watcher.hear(6.0, 7.0, "Help me now.") == [], "it is still the same event"
    assert told(watch(watcher, range(5, 20))) == [("end", "help", 3.0, 7.0, 12.0)]
    assert watcher.hear(15.0, 16.0, "help me") == [], "cooldown"
    assert [change.type for change in watcher.hear(18.0, 19.0, "help me")] == ["new"]
