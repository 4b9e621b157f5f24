"""Which frames need the image tower at all: those that changed, seen in pixels before any network is run.

A frame is compared with the last one that was encoded, so that slow change adds up until it counts. What changes all
the time in a small part of the picture (an on-screen clock, a fan, a blinking light) is learned within minutes and then
passed over; if a large part does, the camera moves or a film plays, and everything counts.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from llama_vid.tokenizer.change import GRID, changed_cells, energy_of

#: Motion energy up to which a frame shows what the last encoded one did: at most two cells of 2,704 changed. Sensor
#: noise at night changes two of them by chance in one frame out of a hundred.
UNCHANGED: Final = 0.06
#: A frame is encoded at least so often even if no cell changed, so that light and shadow are followed.
LONGEST_SKIP: Final = 15
#: Frames over which it is learned which cells change all the time, and the share of them that "all the time" means.
HABIT_FRAMES: Final = 200
HABIT_SHARE: Final = 0.5
#: Cells around those, too: the seconds of a clock always change, its minutes beside them do not.
HABIT_MARGIN: Final = 3
#: The largest part of a picture that may be passed over as habit; an on-screen clock takes 1 %, a television 5 %.
HABIT_PART: Final = 0.12


class StillGate:
    """Says of each frame of one camera whether it must be encoded. Sees every frame, in time order."""

    def __init__(self) -> None:
        self._encoded: Tensor | None = None
        self._previous: Tensor | None = None
        self._skipped = 0
        self._rate = torch.zeros(GRID, GRID)

    @property
    def ignored(self) -> Tensor | None:
        """The cells (GRID, GRID) bool whose change is habit, or None where there are none (or too many to be one)."""
        habit = self._rate > HABIT_SHARE
        if bool(habit.any()):
            edge = 2 * HABIT_MARGIN + 1
            habit = max_pool2d(habit[None, None].float(), edge, stride=1, padding=HABIT_MARGIN)[0, 0] > 0
        part = float(habit.float().mean())
        return habit if 0 < part <= HABIT_PART else None

    def needed(self, luma: Tensor, *, gap: bool = False) -> bool:
        """Whether the frame with this luma grid (GRID, GRID) must be encoded; the gate takes it that it then is."""
        luma = luma.cpu()
        if self._previous is not None and not gap:
            cells = changed_cells(luma[None], self._previous[None])[0]
            self._rate += (cells.float() - self._rate) / HABIT_FRAMES
        self._previous = luma
        if (
            self._encoded is None
            or gap
            or self._skipped >= LONGEST_SKIP
            or float(energy_of(changed_cells(luma[None], self._encoded[None]), self.ignored)) > UNCHANGED
        ):
            self._encoded, self._skipped = luma, 0
            return True
        self._skipped += 1
        return False
