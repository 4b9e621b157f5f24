"""The section `webrtc:`: what it takes, what it refuses, and that its passwords stay in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llama_vid.errors import ConfigError
from llama_vid.settings import Config
from llama_vid.settings_webrtc import IceServerSettings, WebrtcSettings
from llama_vid.webrtc_desk import WebrtcDesk


def test_servers_are_read_and_announced(tmp_path: Path) -> None:
    secret = tmp_path / "turn.txt"
    secret.write_text("open-sesame\n")
    settings = Config.model_validate(
        {
            "webrtc": {
                "ice_servers": [
                    {"url": "stun:stun.example.org"},
                    {"url": "turn:[::1]:3478?transport=tcp", "username": "me", "credential_file": str(secret)},
                    {"url": "turns:turn.example.org", "username": "me", "credential": "hunter22"},
                ]
            }
        }
    ).webrtc
    desk = WebrtcDesk(settings)
    assert desk.links["Link"].split(", ") == [
        '<stun:stun.example.org>; rel="ice-server"',
        '<turn:[::1]:3478?transport=tcp>; rel="ice-server"; username="me"; credential="open-sesame"; '
        'credential-type="password"',
        '<turns:turn.example.org>; rel="ice-server"; username="me"; credential="hunter22"; credential-type="password"',
    ]
    for secret_word in ("open-sesame", "hunter22"):
        assert secret_word not in repr(settings) + repr(desk.ice)
    assert WebrtcDesk(WebrtcSettings()).links == {}


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"url": "http://x"}, "no ICE server"),
        ({"url": "turn:me:hunter22@host"}, "no ICE server"),
        ({"url": "stun:host:99999"}, "no ICE server"),
        ({"url": "stun:host?transport=udp"}, "takes no"),
        ({"url": "stun:host\r\nX: y"}, "no ICE server"),
        ({"url": "turn:host"}, "needs a username"),
        ({"url": "turn:host", "username": "me"}, "needs a username"),
        ({"url": "stun:host", "username": "me", "credential": "hunter22"}, "is it turn:"),
        ({"url": "turn:host", "username": 'm"e', "credential": "hunter22"}, "HTTP header"),
        ({"url": "turn:host", "username": "me", "credential": "hunter22\r\nX: y"}, "HTTP header"),
        ({"url": "turn:host", "username": "me", "credential": "hunter22", "credential_file": "x"}, "not both"),
        ({"url": "turn:host", "password": "hunter22"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(server: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        IceServerSettings.model_validate(server)
    assert "hunter22" not in str(caught.value)


def test_a_password_file_that_is_no_good(tmp_path: Path) -> None:
    file = tmp_path / "turn.txt"
    settings = IceServerSettings(url="turn:host", username="me", credential_file=file)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.read()
    for content in (b"", b"two\nlines", b"\xff\xfe", b'qu"ote'):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"turn\.txt"):
            settings.read()
