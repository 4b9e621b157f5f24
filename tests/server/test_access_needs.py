"""The table of what each address wants: whole, and strict about what it does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute, Route

from llama_vid.access import NOBODY, OPEN, Access
from llama_vid.access_needs import WEBSOCKET, find_need, need_of
from llama_vid.errors import ProtocolError
from llama_vid.server import create_app
from llama_vid.settings import Config
from tests.server.scripted import ScriptedModel


def addresses(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route, also of those in included routers."""
    waiting: list[BaseRoute] = list(app.routes)
    for route in waiting:
        inner = getattr(route, "original_router", None)  # how FastAPI holds an included router
        if inner is not None:
            waiting.extend(inner.routes)
        elif isinstance(route, APIWebSocketRoute):
            yield WEBSOCKET, route.path
        elif isinstance(route, APIRoute | Route):
            for method in route.methods or ():
                yield method, route.path
        else:
            pytest.fail(f"a kind of route that this test does not know: {route!r}")


def test_every_address_is_in_the_table() -> None:
    found = list(addresses(create_app(ScriptedModel, Config())))
    assert ("GET", "/api/cameras/{camera_id}/timeline") in found
    assert (WEBSOCKET, "/ws") in found
    missing = [f"{method} {path}" for method, path in found if find_need(method, path) is None]
    assert missing == [], "give each a row in llama_vid/access_needs.py"


def test_only_what_must_be_is_public() -> None:
    found = addresses(create_app(ScriptedModel, Config()))
    public = {path for method, path in found if need_of(method, path).public}
    assert public <= {"/", "/page/{name}", "/page/{name:path}", "/healthz", "/readyz", "/openapi.json", "/api/session"}


@pytest.mark.parametrize(
    ("method", "path", "scope", "camera"),
    [
        ("GET", "/api/cameras/front/frames/12.5.jpg", "watch", "front"),
        ("HEAD", "/api/cameras/front/events", "watch", "front"),
        ("DELETE", "/api/cameras/front", "admin", "front"),
        ("DELETE", "/api/cameras/front/memory", "admin", "front"),
        ("GET", "/api/cameras/front/export", "watch", "front"),
        ("POST", "/whip/front", "admin", "front"),
        ("DELETE", "/whip/front/abc", "admin", "front"),
        ("POST", "/whep/front", "watch", "front"),
        ("POST", "/v1/chat/completions", "ask", None),
        # What the table does not know is for those who may do everything.
        ("GET", "/api/cameras/front/../back/timeline", "watch", "front"),
        ("GET", "/api//cameras", "admin", None),
        ("GET", "/API/cameras", "admin", None),
        ("GET", "/api/cameras/", "admin", None),
        ("GET", "/metrics/", "admin", None),
        ("POST", "/", "admin", None),
        ("GET", "/healthz\n", "admin", None),
    ],
)
def test_needs(method: str, path: str, scope: str, camera: str | None) -> None:
    need = need_of(method, path)
    assert (need.scope, need.camera, need.public) == (scope, camera, False)


def test_access() -> None:
    front = Access("front", frozenset({"watch", "ask"}), frozenset({"front"}), "id")
    assert front.may("watch")
    assert front.may("watch", "front")
    assert not front.may("watch", "back")
    assert not front.may("admin", "front")
    assert not front.everywhere("watch")
    assert OPEN.everywhere("admin")
    assert not NOBODY.signed_in
    with pytest.raises(ProtocolError, match="lacks the scope 'watch' for camera 'back'") as refusal:
        front.require("watch", "back")
    assert (refusal.value.code, refusal.value.param) == ("forbidden", "camera")
    with pytest.raises(ProtocolError, match="lacks the scope 'admin';") as refusal:
        front.require("admin", "front")
    assert refusal.value.param is None
