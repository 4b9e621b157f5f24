"""Errors as HTTP answers: `{"error": {"code", "message", "param"}}` with the status that fits."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llama_vid.errors import LlamaVidError, ProtocolError

#: HTTP statuses of errors that are not simply 400.
STATUSES = {
    "no_such_camera": 404,
    "no_such_frame": 404,
    "not_found": 404,
    "camera_exists": 409,
    "not_publishable": 409,
    "too_many_cameras": 409,
    "too_big": 413,
    "unsupported_media_type": 415,
    "camera_failed": 503,
    "no_model": 503,
    "not_ready": 503,
    "unavailable": 503,
}


def add_refusals(app: FastAPI) -> None:
    """Makes the application answer our own errors, bad fields and unknown paths in one form."""
    app.add_exception_handler(LlamaVidError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)


def _error(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    headers = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"error": {"code": code, "message": message, "param": param}}, status, headers)


async def _refuse(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, LlamaVidError)
    param = problem.param if isinstance(problem, ProtocolError) else None
    status = STATUSES.get(problem.code, 400 if isinstance(problem, ProtocolError) else 500)
    return _error(status, problem.code, str(problem), param)


async def _refuse_fields(_: Request, problem: Exception) -> JSONResponse:
    """Names the field and what is wrong with it, without repeating its value (which may be a url with a password)."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return _error(422, "invalid_request", f"{param or 'body'}: {first['msg']}", param)


async def _refuse_http(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    answer = _error(problem.status_code, "http_error", str(problem.detail))
    answer.headers.update(problem.headers or {})
    return answer
