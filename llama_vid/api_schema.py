"""What `/openapi.json` says beyond what the routes say themselves: errors, sign-in, and what path parameters look like.

Every address may be refused by what stands in front of the routes (host, origin, sign-in, rates, sizes), and every
error has one form, so this is said once for all of them, those of later routes too. `schemathesis run` tests that it is
true (docs/tools.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

import llama_vid
from llama_vid.access_needs import need_of
from llama_vid.clients.openai_answer import OpenAIError
from llama_vid.settings import CAMERA_ID

REF: Final = "#/components/schemas/{model}"
METHODS: Final = ("get", "put", "post", "delete", "options", "patch")

#: Errors of every address.
ALWAYS: Final = {
    "403": "The request comes from another origin, or its token lacks the scope.",
    "421": "The server is not known under this host name.",
    "429": "Too many requests; see Retry-After.",
}
#: Errors of addresses that want somebody to be signed in.
SIGNED_IN: Final = {"401": "There is no token, or none that is valid."}
#: Errors of addresses whose request has a body.
WITH_BODY: Final = {"400": "The body cannot be taken.", "413": "The body is too long."}
#: Errors of addresses that name a camera.
WITH_CAMERA: Final = {"404": "There is no such camera, or it has no such thing."}
#: Errors of addresses with parameters.
WITH_PARAMETERS: Final = {"422": "A parameter or field is wrong."}
#: Errors of addresses with several.
WITH_QUERY: Final = {"400": "The parameters do not fit together."}
#: Errors of WebRTC's addresses.
WITH_WEBRTC: Final = {
    "406": "Nothing of what is offered can be sent or taken.",
    "409": "The camera cannot do this: it is not one to publish to, or not one to play.",
    "415": "The body is not application/sdp.",
    "503": "Not now: the model loads, or there are too many viewers; see Retry-After.",
}
#: Errors of single addresses.
OTHERS: Final = {
    ("post", "/api/cameras"): {"409": "There is a camera of this name, or there are too many."},
    ("post", "/api/cameras/{camera_id}/alerts/try"): {"503": "The model is not ready; see Retry-After."},
    ("get", "/api/cameras/{camera_id}/search"): {"503": "The camera is not ready to be asked; see Retry-After."},
}
#: What path parameters look like. Others are not refused as wrong: there is just nothing of that name.
PATH_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "camera_id": {"pattern": f"^{CAMERA_ID.pattern}$", "examples": ["front"]},
    "name": {"pattern": r"^(latest|[0-9]{1,12}(\.[0-9]{1,3})?)\.jpg$", "examples": ["latest.jpg"]},
    "resource_id": {"pattern": "^[A-Za-z0-9_-]{1,128}$"},
    "model": {"pattern": f"^camera:(\\*|{CAMERA_ID.pattern}(,{CAMERA_ID.pattern})*)$", "examples": ["camera:front"]},
}

#: Bodies that a route reads by itself.
BODIES: Final = {
    ("post", "/whip/{camera_id}"): "application/sdp",
    ("post", "/whep/{camera_id}"): "application/sdp",
}


class ErrorInfo(BaseModel):
    """What went wrong: a stable word, a sentence for people, and the field or parameter that is wrong, if it is one."""

    code: str
    message: str
    param: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorInfo


def describe_api(app: FastAPI) -> None:
    """Has the application describe itself with all of this. Called once, when all routes are there."""
    app.openapi = partial(_described, app)  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        about = (app.description or None, app.summary)
        tree = get_openapi(
            title=app.title, version=llama_vid.__version__, description=about[0], summary=about[1], routes=app.routes
        )
        schemas = tree.setdefault("components", {}).setdefault("schemas", {})
        for model in (ErrorAnswer, OpenAIError):
            schema = model.model_json_schema(ref_template=REF)
            schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
        tree["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "A token of `llama-vid token create`."}
        }
        for path, method, operation in _operations(tree):
            _complete(path, method, operation)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] |= PATH_PARAMETERS.get(parameter["name"], {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = tree
    return app.openapi_schema


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The methods that are described of a path, sorted. (Starlette tells those of the first route that fits alone.)"""
    found: set[str] = set()
    for template, item in app.openapi()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found.update(method.upper() for method in METHODS if method in item)
    return sorted(found)


def _operations(tree: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in tree["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Adds the errors that an operation may answer with, and its body, where it does not describe them itself."""
    openai = path.startswith("/v1/")
    if (media := BODIES.get((method, path))) is not None:
        operation.setdefault("requestBody", {"required": True, "content": {media: {"schema": {"type": "string"}}}})
    responses = operation["responses"]
    if "422" in responses:
        del responses["422"]  # FastAPI's own form, which is nowhere answered
    need = need_of(method.upper(), path)
    # While sign-in is off, on loopback, nothing is wanted: `{}`.
    operation["security"] = [] if need.public else [{"token": [need.scope] if need.scope else []}, {}]
    found = ALWAYS | ({} if need.public else SIGNED_IN)
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    if not openai and (places or "requestBody" in operation):
        found |= WITH_PARAMETERS
    if "query" in places:
        found |= WITH_QUERY
    if "requestBody" in operation:
        found |= WITH_BODY
    if path.startswith(("/whip/", "/whep/")):
        found |= WITH_WEBRTC
    found |= OTHERS.get((method, path), {})
    if "{camera_id}" in path:
        found |= WITH_CAMERA
    for status in [*found, *(status for status in responses if status[0] in "45" and status not in found)]:
        # What stands before the routes answers in the common form, the routes of /v1 in OpenAI's, which holds it.
        model = OpenAIError if openai and status in ("400", "404") else ErrorAnswer
        content = {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
        responses.setdefault(status, {"description": found.get(status, "")}).setdefault("content", content)
