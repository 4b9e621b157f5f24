"""Examples without end: shuffled anew in each round, shared out over workers, mixed by weight, resumed exactly.

The state is a few numbers. A stream that is given the state of another goes on with the very example that the other
would have given next, provided that the data set is the same; that it is, is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from llama_vid.errors import ConfigError
from training.data.example import Example

STATE: Final = 1  # the layout of states


class Records(Protocol):
    """Examples by number, as `Dataset` has them."""

    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> Example: ...


@dataclass(frozen=True, slots=True)
class Shard:
    """Worker `index` of `count`: of each round's order it takes every `count`-th example. Raises ConfigError."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"there is no worker {self.index} of {self.count}; they are counted from 0")


class Stream:
    """The examples of a data set, each once a round; `rounds` None goes on for ever.

    The order of a round is a permutation drawn from the seed and the round's number, 8 bytes an example, the same for
    all workers, so that their shares are disjoint and together make the round.
    """

    def __init__(self, data: Records, seed: int, shard: Shard | None = None, rounds: int | None = None) -> None:
        self.data, self.seed, self.shard, self.rounds = data, seed, shard or Shard(), rounds
        if len(data) < self.shard.count:
            raise ConfigError(f"{len(data)} usable examples cannot be shared out over {self.shard.count} workers")
        self.round, self.at = 0, 0
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    def __iter__(self) -> Iterator[Example]:
        return self

    def __next__(self) -> Example:
        if self.rounds is not None and self.round >= self.rounds:
            raise StopIteration
        own = self._own()
        number = int(own[self.at])
        self.at += 1
        if self.at == len(own):
            self.round, self.at = self.round + 1, 0
        return self.data[number]

    def state(self) -> dict[str, Any]:
        """Where the stream stands, for JSON."""
        shard = [self.shard.index, self.shard.count]
        return {
            "state": STATE, "data": self.data.fingerprint, "seed": self.seed, "shard": shard,
            "round": self.round, "at": self.at,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises ConfigError if it is of other data, another seed or another worker."""
        for key, found in self.state().items():
            if key not in state:
                raise ConfigError(f"the saved state of the data lacks {key!r}; start the run anew")
            if key not in ("round", "at") and state[key] != found:
                raise ConfigError(
                    f"the saved state is of another run ({key}: then {state[key]}, now {found}); give the same data, "
                    "seed and number of workers, or start the run anew"
                )
        round_, at = state["round"], state["at"]
        if not isinstance(round_, int) or not isinstance(at, int) or round_ < 0 or not 0 <= at < len(self._own()):
            raise ConfigError(f"the saved state of the data is damaged (round {round_}, at {at}); start the run anew")
        self.round, self.at = round_, at

    def _own(self) -> npt.NDArray[np.int64]:
        if self._order is None or self._order[0] != self.round:
            draw = np.random.Generator(np.random.PCG64([self.seed, self.round]))
            whole = draw.permutation(len(self.data))
            self._order = self.round, np.array(whole[self.shard.index :: self.shard.count])
        return self._order[1]


class Mixture:
    """Several streams as one: which gives the next example is drawn by weight, from the seed and the draw's number."""

    def __init__(
        self, data: Sequence[Records], weights: Sequence[float], seed: int, shard: Shard | None = None
    ) -> None:
        """Raises ConfigError if there are no data, or the weights are not one positive number for each."""
        if not data or len(data) != len(weights) or not all(weight > 0 for weight in weights):
            raise ConfigError(f"{len(data)} data sets with the weights {list(weights)}; give each a weight above 0")
        self.seed, self.shard, self.drawn = seed, shard or Shard(), 0
        # Each data set has an order of its own, also where one is named twice.
        self.streams = [Stream(records, seed + 7919 * number, shard) for number, records in enumerate(data)]
        self.bounds = np.cumsum(np.array(weights, float) / sum(weights))

    def __iter__(self) -> Iterator[Example]:
        return self

    def __next__(self) -> Example:
        return next(self.streams[self.draw()])

    def draw(self) -> int:
        """The number of the stream that is next, counted."""
        told = f"{self.seed}/{self.shard.index}/{self.drawn}".encode()
        share = int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big") / 2**64
        self.drawn += 1
        return min(int(np.searchsorted(self.bounds, share, side="right")), len(self.streams) - 1)

    def state(self) -> dict[str, Any]:
        """Where the mixture stands, for JSON."""
        return {"drawn": self.drawn, "streams": [stream.state() for stream in self.streams]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises ConfigError if it is of other data."""
        saved, drawn = state.get("streams"), state.get("drawn")
        if not isinstance(saved, list) or len(saved) != len(self.streams) or not isinstance(drawn, int) or drawn < 0:
            raise ConfigError("the saved state is of another mixture of data; give the same data sets, or start anew")
        for stream, own in zip(self.streams, saved, strict=True):
            stream.restore(own)
        self.drawn = drawn
