"""The `alerts:` list of a camera in the settings: rules in plain language."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from llama_vid.llm.rules.rule import COOLDOWN, HOLD, Rule, Zone
from llama_vid.llm.rules.schedule import parse_schedule
from llama_vid.settings_section import Section, parse_duration

#: A name becomes part of MQTT topics and of Home Assistant's ids.
LONGEST_NAME: Final = 64
LONGEST_TEXT: Final = 300
#: Of the picture: less is half a patch of `mini`.
SMALLEST_ZONE: Final = 0.005
MOST_TEXTS: Final = 16
DAY: Final = 86400.0


def _duration(value: object) -> object:
    """A duration of at most a day. Raises ValueError."""
    seconds = parse_duration(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f"{value!r} is not a duration; write it as 3s, 5m or 2h")
    if not math.isfinite(seconds) or not 0 <= seconds <= DAY:
        raise ValueError(f"{value!r} is not between 0s and 24h")
    return float(seconds)


def _texts(value: object) -> object:
    """One text, or a list of them."""
    return [value] if isinstance(value, str) else value


def _schedule(value: object) -> object:
    """One text or a list of them, checked. Raises ValueError."""
    texts = _texts(value)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
        raise ValueError("a schedule is a text such as 22:00-06:00 or mon-fri 08:00-18:00, or a list of such")
    parse_schedule(texts)
    return texts


def _threshold(value: object) -> object:
    """`auto`, or a probability. Raises ValueError."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "auto" and not (number and 0 < float(value) < 1):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is not a threshold; write auto, or a probability between 0 and 1 such as 0.6")
    return value


def _zone(value: object) -> object:
    """[left, top, right, bottom], or corners [[x, y], …], as corners. Raises ValueError."""
    how = "write [left, top, right, bottom] or [[x, y], [x, y], [x, y], …], each from 0 to 1"
    if not isinstance(value, list | tuple):
        raise ValueError(f"a zone is a box or a polygon; {how}")
    if len(value) == 4 and all(isinstance(item, int | float) for item in value):
        left, top, right, bottom = map(float, value)
        if not (left < right and top < bottom):
            raise ValueError("a zone's left must be less than its right, and its top less than its bottom")
        corners = Zone.box(left, top, right, bottom).corners
    else:
        if not all(
            isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(x, int | float) for x in item)
            for item in value
        ):
            raise ValueError(f"a zone is a box or a polygon; {how}")
        corners = tuple((float(x), float(y)) for x, y in value)
    if len(corners) < 3:
        raise ValueError(f"a polygon has at least three corners; {how}")
    if not all(0 <= x <= 1 for corner in corners for x in corner):
        raise ValueError("a zone lies outside the picture; its numbers go from 0 (left, top) to 1 (right, bottom)")
    if Zone(corners).area < SMALLEST_ZONE:
        raise ValueError("a zone encloses next to nothing; give its corners in order, and make it larger")
    return corners


def check_name(name: str) -> str:
    """A rule's name, trimmed, where it fits into an MQTT topic and an id; else a ValueError."""
    name = name.strip()
    if not name:
        raise ValueError("a rule's name is empty; give it a short one such as package")
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"a rule's name is longer than {LONGEST_NAME} letters; keep it short, and say the rest in 'when'"
        )
    if bad := sorted({letter for letter in name if letter in "+#/\\$"}):
        raise ValueError(f"a rule's name holds {' '.join(bad)}, which MQTT topics use; use letters, digits, - and _")
    if not name.isprintable():
        raise ValueError("a rule's name holds a control character; use letters, digits, - and _")
    if not re.search(r"[^\W_]", name):
        raise ValueError(f"a rule's name needs a letter or a digit; {name!r} has none")
    return name


def slug(name: str) -> str:
    """A name as ids hold it: lower case, everything but letters and digits an underscore."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def _text(value: str) -> str:
    """A text with something in it, blanks tidied. Raises ValueError."""
    clean = " ".join(value.split())
    if not re.search(r"\w", clean):
        raise ValueError("the text is empty; say in plain words what to look for, such as: a package left at the door")
    if len(clean) > LONGEST_TEXT:
        raise ValueError(f"the text is longer than {LONGEST_TEXT} letters; one sentence is understood best")
    return clean


Text = Annotated[str, AfterValidator(_text)]
Texts = Annotated[list[Text], BeforeValidator(_texts), Field(max_length=MOST_TEXTS)]
Duration = Annotated[float, BeforeValidator(_duration)]
Corners = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_zone)]


class AlertRule(Section):
    """One alert rule in plain language; `rule` is what the engine takes."""

    name: Annotated[str, AfterValidator(check_name)]
    when: Text | None = None
    unless: Texts = Field(default_factory=list)
    heard: Texts = Field(default_factory=list)
    hold: Duration = Field(default=HOLD, alias="for")
    cooldown: Duration = COOLDOWN
    schedule: Annotated[list[str], BeforeValidator(_schedule)] = Field(default_factory=list)
    zone: Corners | None = None
    threshold: Annotated[Literal["auto"] | float, BeforeValidator(_threshold)] = "auto"
    verify: bool = True

    @field_validator("when", mode="before")
    @classmethod
    def _when(cls, value: object) -> object:
        if value is None:
            raise ValueError("the text is empty; say in plain words what to look for, or leave 'when' out")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.when is None and not self.heard:
            raise ValueError(f"rule {self.name!r} has nothing to look for; add 'when', or 'heard' for speech")
        if self.when is None and (self.unless or self.zone is not None):
            raise ValueError(f"rule {self.name!r} looks at no picture; 'unless' and 'zone' need a 'when'")
        return self

    @property
    def rule(self) -> Rule:
        """The rule as the engine takes it."""
        return Rule(
            self.name,
            self.when or "",
            tuple(self.unless),
            tuple(self.heard),
            self.hold,
            self.cooldown,
            parse_schedule(self.schedule),
            Zone(self.zone) if self.zone is not None else None,
            None if self.threshold == "auto" else self.threshold,
            self.verify,
        )


def _unlike(rules: list[AlertRule]) -> list[AlertRule]:
    """The rules, if no two have names that read alike in topics and ids. Raises ValueError."""
    seen: dict[str, str] = {}
    for rule in rules:
        key = slug(rule.name)
        if key in seen:
            both = repr(rule.name) if seen[key] == rule.name else f"{seen[key]!r} and {rule.name!r}"
            raise ValueError(f"two rules are named {both}; names tell them apart in topics and ids, so change one")
        seen[key] = rule.name
    return rules


#: The rules of one camera, or of a rules file.
AlertRules = Annotated[list[AlertRule], AfterValidator(_unlike)]


def engine_rules(rules: Sequence[AlertRule]) -> tuple[Rule, ...]:
    """A camera's rules as the engine takes them."""
    return tuple(rule.rule for rule in rules)
