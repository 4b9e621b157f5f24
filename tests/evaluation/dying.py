"""A process's work that kills it, as a system does to what takes too much memory; light, so that it starts soon."""

from __future__ import annotations

import os
import signal


def killed(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
