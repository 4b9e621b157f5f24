"""How often somebody may do something: token buckets, in the order in which they were last used."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Buckets kept at once. Tokens are few; addresses come and go, and one that was not seen for so long begins anew.
MOST_BUCKETS: Final = 4096


@dataclass(slots=True)
class Bucket:
    """Fills by `rate` a second up to `burst`; what is taken must be in it."""

    rate: float
    burst: float
    level: float
    at: float

    def take(self, now: float, cost: float = 1.0) -> float:
        """Takes `cost` out and gives 0; or takes nothing and gives the seconds until there is so much."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= cost:
            self.level -= cost
            return 0.0
        return (cost - self.level) / self.rate


class Rates:
    """One bucket for each key, full when it is first used."""

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate` a second over time, `burst` at once."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """0 if `key` may now, else the seconds that it has to wait."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, self._burst, now)
            while len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now)
