"""The state of one source and the listeners that want to know about it."""

from __future__ import annotations

import logging

from llama_vid.stream.source import SourceState, StateCallback

logger = logging.getLogger(__name__)


class Status:
    """Holds a source's state and tells its listeners about every change, in the thread that calls `set`."""

    def __init__(self, name: str) -> None:
        """`name` is the redacted name that log lines carry."""
        self._name = name
        self._state: SourceState = "connecting"
        self._reason = ""
        self._listeners: list[StateCallback] = []

    @property
    def state(self) -> SourceState:
        return self._state

    @property
    def reason(self) -> str:
        """The redacted line that came with the latest state."""
        return self._reason

    def listen(self, callback: StateCallback) -> None:
        """Call `callback(state, reason)` on every later change."""
        self._listeners.append(callback)

    def set(self, state: SourceState, reason: str = "") -> None:
        """Take a new state; the same state with the same reason is not told twice."""
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        logger.info("%s: %s%s", self._name, state, f" ({reason})" if reason else "")
        for callback in list(self._listeners):
            callback(state, reason)


class Told:
    """What every source tells of itself, out of its `_status`."""

    _status: Status

    @property
    def state(self) -> SourceState:
        """Where the source stands."""
        return self._status.state

    @property
    def reason(self) -> str:
        """The redacted line that came with the latest state."""
        return self._status.reason

    def on_state(self, callback: StateCallback) -> None:
        """Call `callback(state, reason)`, in the thread that brings it about, on every later change."""
        self._status.listen(callback)
