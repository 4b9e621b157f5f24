"""How a failed command ends: one line on stderr, and the traceback in a log file unless it was asked for."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

from llama_vid.errors import LlamaVidError

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]+@")


def without_credentials(text: str) -> str:
    """The text with `user:password@` taken out of every address in it."""
    return _CREDENTIALS.sub("", text)


def one_line(problem: BaseException) -> str:
    """The error's message in one line, without credentials; its type's name if it has no message."""
    return " ".join(without_credentials(str(problem)).split()) or type(problem).__name__


def report_failure(problem: LlamaVidError, *, debug: bool) -> int:
    """Say what went wrong on purpose; returns the exit status (DESIGN section 4)."""
    if debug:
        traceback.print_exception(problem)
    print(f"llama-vid: {one_line(problem)}", file=sys.stderr)
    return problem.exit_code


def report_unexpected(problem: Exception, *, debug: bool) -> int:
    """Say that the program itself went wrong, and where the traceback is; returns the exit status 1."""
    if debug:
        traceback.print_exception(problem)
        where = "the traceback is above"
    else:
        where = f"the traceback is in {_write_log(problem)}"
    print(f"llama-vid: unexpected {type(problem).__name__}: {one_line(problem)[:300]}; {where}", file=sys.stderr)
    return 1


def log_file() -> Path:
    """Where tracebacks go: `$XDG_STATE_HOME/llama-vid/errors.log`, by default below ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "llama-vid" / "errors.log"


def _write_log(problem: Exception) -> Path:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    # The arguments are left out on purpose: they can hold a question or an address that nobody else should read.
    text = f"{stamp}\n{without_credentials(''.join(traceback.format_exception(problem)))}\n"
    path = log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(text)
    except OSError:  # a read-only home: any writable place will do
        with tempfile.NamedTemporaryFile(
            "w", prefix="llama-vid-", suffix=".log", delete=False, encoding="utf-8"
        ) as fallback:
            fallback.write(text)
        path = Path(fallback.name)
    return path
