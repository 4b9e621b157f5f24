"""`/api/session`: a browser signs in with a token for a cookie, as it sends no bearer with websockets and images."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llama_vid.access import SCOPES, Scope, access_of
from llama_vid.access_desk import AccessDesk
from llama_vid.access_gate import cookie_name, cookie_of
from llama_vid.access_sessions import LIFETIME_S
from llama_vid.errors import ProtocolError

router = APIRouter(prefix="/api/session", tags=["access"])


class SignIn(BaseModel):
    """A token, as `llama-vid token create` gave it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: SecretStr = Field(min_length=1, max_length=256)


class SessionInfo(BaseModel):
    """Who is signed in and what that allows. `auth` false: sign-in is off, everything is allowed.

    `cameras` null: all of them.
    """

    auth: bool
    name: str | None
    scopes: list[Scope]
    cameras: list[str] | None


def _desk(request: Request) -> AccessDesk:
    return cast(AccessDesk, request.app.state.access)


@router.post("", status_code=204)
async def sign_in(request: Request, sign: SignIn) -> Response:
    """Signs a browser in: the cookie is for this server alone, and no script can read it."""
    desk = _desk(request)
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    access = desk.by_token(sign.token.get_secret_value().strip(), request.client.host if request.client else "")
    if access is None:
        raise ProtocolError("This token is unknown, revoked or expired.", code="unauthorized", param="token")
    old = cookie_of(request.scope)
    if old:
        await desk.sign_out(old)
    cookie = desk.sign_in(access)
    if cookie is not None:
        answer.set_cookie(
            cookie_name(request.scope), cookie, LIFETIME_S, httponly=True, samesite="strict", secure=_secure(request)
        )
    return answer


@router.get("", responses={401: {}})
async def show_session(request: Request, response: Response) -> SessionInfo:
    """Who is signed in; 401 for who is not."""
    desk, access = _desk(request), access_of(request)
    if not access.signed_in:
        raise ProtocolError("Nobody is signed in here; sign in with a token.", code="unauthorized")
    response.headers["Cache-Control"] = "no-store"
    cameras = sorted(access.cameras) if access.cameras is not None else None
    scopes = [scope for scope in SCOPES if scope in access.scopes]
    return SessionInfo(auth=desk.on, name=access.name, scopes=scopes, cameras=cameras)


@router.delete("", status_code=204)
async def sign_out(request: Request) -> Response:
    """Signs a browser out: its cookie is worth nothing from then on, and what it has open is closed."""
    cookie = cookie_of(request.scope)
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    if cookie:
        await _desk(request).sign_out(cookie)
        answer.delete_cookie(cookie_name(request.scope), httponly=True, samesite="strict", secure=_secure(request))
    return answer


def _secure(request: Request) -> bool:
    """Whether the browser came by TLS, here or at a proxy before us: its `Origin`, which the guard has checked."""
    return request.url.scheme == "https" or request.headers.get("origin", "").lower().startswith("https://")
