"""Which address wants which scope: one table, so that routes need no code for it.

`tests/server/test_access_needs.py` walks over the application's routes: one that is not in the table fails it. Until it
is, only a token with `admin` for all cameras gets there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llama_vid.access import Scope

ANY: Final = "*"
#: Methods of the table for a websocket.
WEBSOCKET: Final = "WEBSOCKET"


@dataclass(frozen=True, slots=True)
class Need:
    """What an address wants. `scope` None: to be signed in, whatever for; `public`: not even that.

    `camera` is the one that the path names. `everywhere`: a token for some cameras does not do. `question`: it makes
    the model work, and counts against the questions of a token.
    """

    scope: Scope | None = None
    public: bool = False
    everywhere: bool = False
    question: bool = False
    camera: str | None = None


_PUBLIC: Final = Need(public=True)
_SIGNED_IN: Final = Need()
_WATCH: Final = Need("watch")
_ASK: Final = Need("ask", question=True)
_ADMIN: Final = Need("admin")
#: For what is not in the table.
_UNKNOWN: Final = Need("admin", everywhere=True)

#: Methods, path, need; the first that fits counts. `{camera}` is one part of a path, `**` all that follows.
_TABLE: Final = (
    ("GET", "/", _PUBLIC),
    ("GET", "/page/**", _PUBLIC),
    ("GET", "/favicon.ico", _PUBLIC),
    ("GET", "/healthz", _PUBLIC),
    ("GET", "/readyz", _PUBLIC),
    ("GET", "/openapi.json", _PUBLIC),
    ("GET POST DELETE", "/api/session", _PUBLIC),
    ("GET", "/metrics", Need("watch", everywhere=True)),
    ("GET", "/api/cameras", _SIGNED_IN),
    ("POST", "/api/cameras", _ADMIN),  # for which camera, the route asks: its name is in the body
    ("GET", "/api/cameras/{camera}", _SIGNED_IN),
    ("DELETE", "/api/cameras/{camera}", _ADMIN),
    ("PUT", "/api/cameras/{camera}/alerts", _ADMIN),
    ("POST", "/api/cameras/{camera}/alerts/try", _ASK),
    ("GET", "/api/cameras/{camera}/search", _ASK),
    ("DELETE", "/api/cameras/{camera}/memory", _ADMIN),
    ("GET", "/api/cameras/{camera}/**", _WATCH),
    (ANY, "/whip/{camera}", _ADMIN),
    (ANY, "/whip/{camera}/**", _ADMIN),
    (ANY, "/whep/{camera}", _WATCH),
    (ANY, "/whep/{camera}/**", _WATCH),
    ("GET", "/v1/models", _SIGNED_IN),
    ("GET", "/v1/models/**", _SIGNED_IN),
    ("POST", "/v1/chat/completions", _ASK),  # which camera, the route asks
    (WEBSOCKET, "/ws", _SIGNED_IN),  # what may be asked and seen there: `llama_vid.access_views`
)


def _pattern(path: str) -> re.Pattern[str]:
    text = re.escape(path).replace(r"\{camera\}", "(?P<camera>[^/]+)").replace(r"\*\*", ".*")
    return re.compile(text, re.DOTALL)


_ROWS: Final = tuple((frozenset(methods.split()), _pattern(path), need) for methods, path, need in _TABLE)


def find_need(method: str, path: str) -> Need | None:
    """What the table has for a method (`WEBSOCKET` for one) and a decoded path; None where it has nothing."""
    method = "GET" if method == "HEAD" else method
    for methods, pattern, need in _ROWS:
        if (method in methods or ANY in methods) and (found := pattern.fullmatch(path)):
            camera = found.groupdict().get("camera")
            if camera is None:
                return need
            return Need(need.scope, need.public, need.everywhere, need.question, camera)
    return None


def need_of(method: str, path: str) -> Need:
    """As `find_need`, and the strictest need for what the table does not have."""
    return find_need(method, path) or _UNKNOWN
