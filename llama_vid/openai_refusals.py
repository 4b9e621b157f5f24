"""Errors of `/v1/…` in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`, with its API's statuses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from llama_vid.clients.openai_answer import openai_error
from llama_vid.errors import LlamaVidError, ProtocolError
from llama_vid.refusals import STATUSES

#: Statuses of codes that are OpenAI's; all else is as everywhere.
OPENAI_STATUSES = {"model_not_found": 404, "rate_limit_exceeded": 429, "internal": 500}


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with its errors caught."""
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as problem:
                return _refuse_fields(problem)
            except HTTPException as problem:
                return refuse(problem.status_code, "http_error", str(problem.detail))
            except LlamaVidError as problem:
                param = problem.param if isinstance(problem, ProtocolError) else None
                return refuse(status_of(problem.code), problem.code, str(problem), param)

        return handle_or_refuse


def status_of(code: str) -> int:
    """The HTTP status of an error's code."""
    return OPENAI_STATUSES.get(code) or STATUSES.get(code, 400)


def refuse(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    """An error as OpenAI's clients read it."""
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    return JSONResponse(openai_error(status, code, message, param).model_dump(), status, headers)


def _refuse_fields(problem: RequestValidationError) -> JSONResponse:
    """Names the field as OpenAI does (`messages[0].content`), and says what is wrong without repeating its value."""
    first = problem.errors()[0]
    param = ""
    for part in first["loc"][1:]:
        param += f"[{part}]" if isinstance(part, int) else f".{part}" if param else str(part)
    ours = first["type"] in ("unsupported_parameter", "unsupported_content")
    code = first["type"] if ours else "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    message = first["msg"] if ours else f"{param or 'body'}: {first['msg']}"
    return refuse(400, code, f"{message}.", param or None)
