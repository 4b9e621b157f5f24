"""Errors as HTTP answers: `{"error": {"code", "message", "param"}}` with the status that fits."""

from __future__ import annotations

import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llama_vid.access import OPEN, Access
from llama_vid.api_schema import allowed_methods
from llama_vid.errors import LlamaVidError, ProtocolError

#: HTTP statuses of errors that are not simply 400.
STATUSES = {
    "unauthorized": 401,
    "forbidden": 403,
    "origin_not_allowed": 403,
    "no_such_camera": 404,
    "no_such_frame": 404,
    "nothing_kept": 404,
    "not_found": 404,
    "camera_exists": 409,
    "not_publishable": 409,
    "too_many_cameras": 409,
    "nothing_to_try_on": 409,
    "not_acceptable": 406,
    "too_slow": 408,
    "too_big": 413,
    "unsupported_media_type": 415,
    "host_not_allowed": 421,
    "rate_limited": 429,
    "camera_failed": 503,
    "no_model": 503,
    "not_ready": 503,
    "not_forgotten": 503,
    "shutdown": 503,
    "not_live": 503,
    "too_many_viewers": 503,
    "unavailable": 503,
}


def add_refusals(app: FastAPI) -> None:
    """Makes the application answer our own errors, bad fields and unknown paths in one form."""
    app.add_exception_handler(LlamaVidError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _refuse_unexpected)


def refusal(problem: LlamaVidError) -> JSONResponse:
    """The answer that says what was wrong, with the status that fits and what goes with that."""
    param = problem.param if isinstance(problem, ProtocolError) else None
    status = STATUSES.get(problem.code, 400 if isinstance(problem, ProtocolError) else 500)
    answer = _error(status, problem.code, str(problem), param)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="llama-vid"'
    elif status in (429, 503):
        answer.headers["Retry-After"] = str(math.ceil(getattr(problem, "wait_s", 5.0)))
    return answer


def _error(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "param": param}}, status)


async def _refuse(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, LlamaVidError)
    access: Access = getattr(request.state, "access", OPEN)
    if problem.code == "no_such_camera" and access.cameras is not None:
        # The message names the cameras that there are: those are not for everybody.
        problem = ProtocolError("There is no such camera.", code=problem.code, param="camera")
    return refusal(problem)


async def _refuse_fields(_: Request, problem: Exception) -> JSONResponse:
    """Names the field and what is wrong with it, without repeating its value (which may be a url with a password)."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return _error(422, "invalid_request", f"{param or 'body'}: {first['msg']}", param)


async def _refuse_http(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    answer = _error(problem.status_code, "http_error", str(problem.detail))
    answer.headers.update(problem.headers or {})
    if problem.status_code == 405 and (allowed := allowed_methods(request.app, request.url.path)):
        answer.headers["Allow"] = ", ".join(allowed)
    return answer


async def _refuse_unexpected(_: Request, _problem: Exception) -> JSONResponse:
    """What nobody foresaw; Starlette raises it again after the answer, so that it is in the log.

    The port then ends the connection, which the client should know.
    """
    answer = _error(500, "internal", "The server failed; its log says why.")
    answer.headers["Connection"] = "close"
    return answer
