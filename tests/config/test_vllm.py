"""The section `llm.vllm`: what it says, what it refuses, and that its key stays a secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from llama_vid.config import load_config
from llama_vid.errors import ConfigError
from llama_vid.llm.vllm_errors import VllmError
from llama_vid.llm.vllm_options import VllmOptions, is_private
from llama_vid.llm.vllm_transport import PrivateTransport
from llama_vid.model_loading import bundle_loader
from llama_vid.settings_vllm import VllmSettings


def test_what_the_client_takes(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame-opens\n")
    (tmp_path / "llama-vid.yaml").write_text(
        "llm:\n  engine: vllm\n"
        "  vllm: {base_url: 'http://10.0.0.7:8000/v1/', api_key_file: key, timeout: 2m, model: m}\n"
    )
    config = load_config(tmp_path / "llama-vid.yaml")
    options = config.llm.server(tmp_path)
    assert options == VllmOptions("http://10.0.0.7:8000", "m", "sesame-opens", first_s=120.0)
    assert "sesame" not in repr(options)
    assert load_config(None).llm.server() is None


def test_a_missing_key_file_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "llama-vid.yaml").write_text(
        "llm: {engine: vllm, vllm: {base_url: 'http://127.0.0.1:8000', api_key_file: key}}\n"
    )
    with pytest.raises(ConfigError, match=r"llm\.vllm\.api_key_file: there is no file"):
        bundle_loader(load_config(tmp_path / "llama-vid.yaml"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base_url": "http://8.8.8.8:8000"}, "no address of a private network"),
        ({"base_url": "http://[2001:4860:4860::8888]:8000"}, "no address of a private network"),
        ({"base_url": "http://0.0.0.0:8000"}, "no address of a private network"),
        ({"base_url": "ftp://host"}, "no web address"),
        ({"base_url": "http://host:99999"}, "no web address"),
        ({"base_url": "http://a b"}, "no web address"),
        ({"base_url": "http://user:hunter22@host"}, "api_key_file"),
        ({"base_url": "http://10.0.0.7", "timeout": 0}, "greater than 0"),
        ({"base_url": "http://10.0.0.7", "at_once": 0}, "greater than or equal to 1"),
        ({"base_url": "http://10.0.0.7", "modell": "x"}, "Extra inputs"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        VllmSettings(**given)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://gpu.lan:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "http://192.168.1.4", "https://8.8.8.8"],
)
def test_what_is_taken(url: str) -> None:
    assert VllmSettings(base_url=url).options().base_url == url
    assert VllmSettings(base_url="http://8.8.8.8", plain_http=True).options().plain_http


def test_private_addresses() -> None:
    private = ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.9", "169.254.1.1", "::1", "fd00::1", "fe80::1%eth0"]
    public = ["8.8.8.8", "100.64.0.1", "0.0.0.0", "::", "2001:4860:4860::8888", "::ffff:8.8.8.8", "172.32.0.1"]
    assert all(map(is_private, private))
    assert not any(map(is_private, public))
    assert is_private("::ffff:10.0.0.1")


def test_a_name_is_looked_up_and_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with one public address is not connected to over plain http, whatever its other addresses are."""
    answers = {"mixed.example": ["10.0.0.7", "8.8.8.8"], "fine.example": ["127.0.0.1"]}
    seen: list[httpx.Request] = []

    async def look_up(self: object, host: str, port: int, **_: object) -> list[Any]:
        return [(2, 1, 6, "", (address, port)) for address in answers[host]]

    async def send(self: object, request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", look_up)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", send)

    async def ask(url: str, *, plain_http: bool = False) -> None:
        transport = PrivateTransport(VllmOptions(url, plain_http=plain_http))
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(url)

    with pytest.raises(VllmError, match=r"lies at 8\.8\.8\.8"):
        asyncio.run(ask("http://mixed.example:8000/health"))
    assert seen == []
    asyncio.run(ask("http://fine.example:8000/health"))
    assert (seen[0].url.host, seen[0].headers["Host"]) == ("127.0.0.1", "fine.example:8000")
    asyncio.run(ask("https://mixed.example/health"))
    asyncio.run(ask("http://mixed.example/health", plain_http=True))
    assert [request.url.host for request in seen[1:]] == ["mixed.example", "mixed.example"]


def test_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match=r"llm\.vllm\.ca: .*holds no certificates"):
        PrivateTransport(VllmOptions("https://gpu", ca=str(tmp_path / "ca.pem")))
    with pytest.raises(ConfigError, match=r"llm\.vllm\.ca: there is no file"):
        VllmSettings(base_url="https://gpu", ca=Path("nope.pem")).options(tmp_path)
