"""What addresses mean, and that their secrets stay out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.errors import SourceError
from llama_vid.stream.urls import parse_url, redact, redact_text


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("film.mp4", "file", "film.mp4"),
        ("file:film.mp4", "file", "film.mp4"),
        ("file:///srv/my%20film.mp4", "file", "/srv/my film.mp4"),
        ("rtsp://10.0.0.5/stream", "rtsp", "rtsp://10.0.0.5/stream"),
        ("RTSPS://10.0.0.5/stream", "rtsp", "RTSPS://10.0.0.5/stream"),
        ("https://example.org/live.m3u8?x=1", "http", "https://example.org/live.m3u8?x=1"),
        ("v4l2:/dev/video2", "v4l2", "/dev/video2"),
        ("v4l2:", "v4l2", "/dev/video0"),
        ("webrtc:", "webrtc", "webrtc:"),
    ],
)
def test_kinds(text: str, kind: str, location: str) -> None:
    url = parse_url(text)
    assert (url.kind, url.location) == (kind, location)


def test_hosts_and_ports() -> None:
    assert (parse_url("rtsp://cam.local/a").host, parse_url("rtsp://cam.local/a").port) == ("cam.local", 554)
    assert parse_url("rtsp://u:p@[::1]:8554/a").port == 8554


def test_a_file_whose_name_looks_like_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:film").write_bytes(b"x")
    assert parse_url("concat:film").kind == "file"


@pytest.mark.parametrize(
    "text",
    ["", "  ", "a\0b", "concat:a|b", "ftp://host/film.mp4", "pipe:0", "data:video/mp4;base64,AA", "rtsp://", "rtsp://h:port/x",
     "http:///x", "tcp://h:1", "subfile:,,:/etc/passwd", "udp://239.0.0.1:1234"],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_url(text)
    assert "\n" not in str(caught.value)


def test_secrets_are_taken_out() -> None:
    url = "rtsp://bob:s3cr%40et@cam:554/live?channel=1&token=abcdef&user=bob"
    assert redact(url) == "rtsp://cam:554/live?channel=1&token=…&user=…"
    assert parse_url(url).shown == redact(url)
    assert "s3cr" not in repr(parse_url(url))
    assert redact("rtsp://cam/a and http://u:p@w@host/b") == "rtsp://cam/a and http://host/b"
    assert redact("http://host:8080/@someone/a?b@c") == "http://host:8080/@someone/a?b@c"
    for password in ("a/b", "a?b", "a#b", "a@b", "a:b", "1/2?3#4x"):
        assert redact(f"rtsp://bob:x{password}@cam/live") == "rtsp://cam/live"
    assert redact("/srv/film.mp4") == "/srv/film.mp4"


def test_messages_of_others_are_cleaned() -> None:
    url = "rtsp://bob:s3cr%40et@cam/live"
    text = redact_text(f"Server\nsaid: '{url}' with s3cr@et and s3cr%40et", url)
    assert text == "Server said: 'rtsp://cam/live' with … and …"


def test_errors_do_not_repeat_a_password() -> None:
    for bad in (
        "ftp://bob:hush-hush@host/x",
        "rtsp://bob:hush-hush@host:port/x",
        "rtsp://bob:hush-hush@/x",
        "rtsp://bob:hush/hush@host/x",
    ):
        with pytest.raises(SourceError) as caught:
            parse_url(bad)
        assert "hush" not in str(caught.value)
