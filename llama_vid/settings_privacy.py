"""The `privacy_masks:` of a camera in the settings: what is blacked out of its picture before anything sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from llama_vid.llm.rules.rule import Point, Zone
from llama_vid.settings_section import Section

Corners = tuple[Point, ...]

#: More are a sign of a mistake, and each costs a little for every size of picture.
MOST_MASKS: Final = 64
MOST_CORNERS: Final = 200
#: Of the picture: less is a slip of the finger. Unlike a rule's zone, a mask may be as small as a distant window.
SMALLEST: Final = 1e-5


def _number(value: object) -> float:
    """A share of the picture's width or height. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(
            f"{value!r} is not a number; give shares of the picture from 0 (left, top) to 1 (right, bottom)"
        )
    if not 0 <= value <= 1:
        raise ValueError(
            f"{value!r} lies outside the picture; numbers go from 0 (left, top) to 1 (right, bottom), so divide pixels "
            "by the picture's width or height"
        )
    return float(value)


def _box(value: object) -> object:
    """[left, top, right, bottom] as corners. Raises ValueError."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError("a box is [left, top, right, bottom], four numbers from 0 to 1")
    left, top, right, bottom = (_number(item) for item in value)
    if not (left < right and top < bottom):
        raise ValueError("a box's left must be less than its right, and its top less than its bottom")
    return _large_enough(Zone.box(left, top, right, bottom).corners)


def _polygon(value: object) -> object:
    """[[x, y], …] as corners that enclose an area. Raises ValueError."""
    if value is None:
        return None
    how = "a polygon is its corners in order, [[x, y], [x, y], [x, y], …], each number from 0 to 1"
    if not isinstance(value, list | tuple):
        raise ValueError(how)
    if not all(isinstance(corner, list | tuple) and len(corner) == 2 for corner in value):
        raise ValueError(how)
    if not 3 <= len(value) <= MOST_CORNERS:
        raise ValueError(f"a polygon has 3 to {MOST_CORNERS} corners, not {len(value)}")
    corners = tuple((_number(x), _number(y)) for x, y in value)
    if crossed(corners):
        raise ValueError("the polygon's lines cross, so parts of it would stay visible; give its corners in order")
    return _large_enough(corners)


def _large_enough(corners: Corners) -> Corners:
    if Zone(corners).area < SMALLEST:
        raise ValueError("the mask encloses next to nothing; make it larger")
    return corners


def crossed(corners: Sequence[Point]) -> bool:
    """Whether two lines of a closed polygon cross each other."""

    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    lines = list(zip(corners, (*corners[1:], corners[0]), strict=True))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for (a, b), (c, d) in combinations(lines, 2)
    )


_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_BOX: Final = {"type": "array", "items": _SHARE, "minItems": 4, "maxItems": 4}
_CORNER: Final = {"type": "array", "items": _SHARE, "minItems": 2, "maxItems": 2}
_POLYGON: Final = {"type": "array", "items": _CORNER, "minItems": 3, "maxItems": MOST_CORNERS}


def _or_none(schema: dict[str, object]) -> WithJsonSchema:
    """As it is written, which is not as it is kept."""
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]}, mode="validation")


class PrivacyMask(Section):
    """One part of the picture that nobody shall see: a box or a polygon, in shares of the upright picture."""

    box: Annotated[Corners | None, BeforeValidator(_box), _or_none(_BOX)] = None
    polygon: Annotated[Corners | None, BeforeValidator(_polygon), _or_none(_POLYGON)] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.box is None) == (self.polygon is None):
            raise ValueError(
                "a mask is either a box or a polygon; write {box: [left, top, right, bottom]} "
                "or {polygon: [[x, y], [x, y], [x, y]]}"
            )
        return self

    @property
    def corners(self) -> Corners:
        """The mask as a polygon."""
        return self.box or self.polygon or ()


PrivacyMasks = Annotated[list[PrivacyMask], Field(max_length=MOST_MASKS)]


def polygons(masks: Sequence[PrivacyMask]) -> tuple[Corners, ...]:
    """A camera's masks as `stream/` takes them."""
    return tuple(mask.corners for mask in masks)
