"""Work done ahead of whoever takes its results: an iterator run in a thread of its own, a few items in front.

FFmpeg leaves Python's lock while it decodes, so that a film's next frames are decoded while the model looks at the last
ones: the longer of the two decides how long a film takes, no longer their sum.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


def ahead(items: Callable[[], Iterator[Item]], *, room: int, name: str) -> Iterator[Item]:
    """The items of `items()` in order, made in a thread called `name`, at most `room` of them waiting.

    An error of the iterator is raised here after the items before it. Leaving early (closing this iterator, an
    exception in the loop over it) closes the iterator in its own thread, after the item that is being made, and waits
    for that.
    """
    work = _Work(items, room)
    thread = threading.Thread(target=work.run, name=name, daemon=True)
    thread.start()
    try:
        yield from work.results()
    finally:
        work.stop()
        if thread is not threading.current_thread():  # the garbage collector may close this anywhere
            thread.join()


class _Work(Generic[Item]):
    """What both threads share. It knows nothing of the generator above, or that would never be collected."""

    def __init__(self, items: Callable[[], Iterator[Item]], room: int) -> None:
        self._items, self._room = items, room
        self._ready: deque[Item] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._stopped = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """The maker's thread."""
        try:
            items = self._items()
            try:
                for item in items:
                    if not self._put(item):
                        break
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # whatever it is, it belongs to the thread that takes the items
            self._error = error
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def results(self) -> Iterator[Item]:
        """The taker's side."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._ready) or self._over)
                if not self._ready:
                    break
                item = self._ready.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """No more items are wanted."""
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._room or self._stopped)
            if self._stopped:
                return False
            self._ready.append(item)
            self._changed.notify_all()
            return True
