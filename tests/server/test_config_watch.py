"""Changing the configuration file while the server runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import RunningServer, running_server, until

A = "  a: {url: 'rtsp://127.0.0.1:9/a'}\n"
B = "  b: {url: 'rtsp://127.0.0.1:9/b'}\n"


def write(path: Path, text: str) -> None:
    """Replaces the file at once, as editors do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def names(server: RunningServer) -> list[str]:
    return [camera["id"] for camera in server.http.get("/api/cameras").json()["cameras"]]


def test_the_difference_is_applied_per_camera(tmp_path: Path) -> None:
    path = tmp_path / "llama-vid.yaml"
    head = "server: {port: 0}\ncameras:\n"
    write(path, head + A + B)
    with running_server(file=path) as server:
        server.http.post("/api/cameras", json={"id": "added", "url": "rtsp://127.0.0.1:9/x"})
        a, b = server.model.session("a"), server.model.session("b")

        write(path, head + A + B.replace("/b'", "/b2', fps: 2") + B.replace("b:", "c:"))
        until(lambda: names(server) == ["a", "added", "b", "c"] and len(server.model.sessions["b"]) == 2, "the change")
        assert b.closed.is_set()
        assert server.model.session("b").fps == 2.0
        assert not a.closed.is_set()

        write(path, head + A)
        until(lambda: names(server) == ["a", "added"], "the removal")
        assert not a.closed.is_set()
        assert len(server.model.sessions["a"]) == 1


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("privacy_masks", "[{box: [0, 0, 0.5, 1]}]", "masks"),
        ("captions", "true", "captions"),
        ("watch_for", "people", "watch_for"),
        ("fps", "2", "fps"),
    ],
)
def test_a_changed_key_reloads_that_camera_alone(tmp_path: Path, key: str, value: str, seen: str) -> None:
    path = tmp_path / "llama-vid.yaml"
    head = "server: {port: 0}\ncameras:\n"
    write(path, head + A + B)
    with running_server(file=path) as server:
        a, b = server.model.session("a"), server.model.session("b")
        write(path, head + A + B.replace("}", f", {key}: {value}}}"))
        until(lambda: len(server.model.sessions["b"]) == 2, "the change")
        assert b.closed.is_set()
        assert getattr(server.model.session("b"), seen) != getattr(b, seen)
        write(path, head + A + B)
        until(lambda: len(server.model.sessions["b"]) == 3, "the change back")
        assert getattr(server.model.session("b"), seen) == getattr(b, seen)
        assert not a.closed.is_set()
        assert server.model.sessions["a"] == [a]


def test_changed_rules_interrupt_nothing(tmp_path: Path) -> None:
    path = tmp_path / "llama-vid.yaml"
    head = "server: {port: 0}\ncameras:\n"
    write(path, head + A + B)
    with running_server(file=path) as server:
        a, b = server.model.session("a"), server.model.session("b")
        write(path, head + A + B.replace("}", ", alerts: [{name: dog, when: a dog}]}"))
        until(lambda: [rule.name for rule in b.rules] == ["dog"], "the rule")
        write(path, head + A + B)
        until(lambda: b.rules == (), "the rule to go")
        assert not a.closed.is_set()
        assert not b.closed.is_set()
        assert (server.model.sessions["a"], server.model.sessions["b"]) == ([a], [b])


def test_a_wrong_mask_is_refused_and_the_masks_before_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "llama-vid.yaml"
    head = "server: {port: 0}\ncameras:\n"
    masked = B.replace("}", ", privacy_masks: [{box: [0, 0, 0.5, 1]}]}")
    write(path, head + masked)
    with caplog.at_level(logging.ERROR), running_server(file=path) as server:
        assert len(server.model.session("b").masks) == 1
        assert server.http.get("/api/cameras/b").json()["masked"] is True
        write(path, head + masked.replace("0.5", "640"))
        until(lambda: [m for m in caplog.messages if "llama-vid.yaml:3: " in m and "divide pixels" in m], "the refusal")
        assert not server.model.session("b").closed.is_set()
        assert len(server.model.sessions["b"]) == 1


@pytest.mark.parametrize("text", ["cameras: {a: {url: 'rtsp://127.0.0.1:9/a', fsp: 2}}\n", "cameras: [\n", None])
def test_a_bad_file_is_refused_and_the_old_one_stays(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "llama-vid.yaml"
    write(path, "server: {port: 0}\ncameras:\n" + A)
    with caplog.at_level(logging.ERROR), running_server(file=path) as server:
        if text is None:
            path.unlink()
        else:
            write(path, text)

        def said() -> Any:
            return [m for m in caplog.messages if "is refused, the old one stays in force" in m]

        message = until(said, "the refusal")[0]
        assert text is None or "llama-vid.yaml:" in message
        assert names(server) == ["a"]
        assert not server.model.session("a").closed.is_set()
        # Mending it is enough.
        write(path, "server: {port: 0}\ncameras:\n" + A + B)
        until(lambda: names(server) == ["a", "b"], "the mended file")
