"""`llama-vid.yaml`: what is taken, and the one line that each mistake gets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from llama_vid.config import check_bind, check_memory, load_config
from llama_vid.errors import ConfigError
from llama_vid.settings import Config, ServerSettings, Tls, check_camera_url

WHOLE = """\
server:  {host: 127.0.0.1, port: 8711, tls: {cert: a.pem, key: b.pem}}
model:   {name: mini, device: auto, dtype: auto}
timezone: Europe/Berlin
memory:  {path: ./data, context_tokens: auto, recent_minutes: 10, retention_days: 7, retention_gb: 20}
mqtt:    {host: localhost, port: 1883, username: u, password_file: p, base_topic: llama_vid}
cameras:
  front:
    url: rtsp://user:hunter22@10.0.0.5/stream
    fps: 2
    captions: true
    watch_for: "people and deliveries at the front door"
    alerts:
      - {name: package, when: "a package", unless: ["an empty doorway"], for: 3s, cooldown: 1.5m, verify: true}
  film: {url: file:/tmp/a.mp4}
"""


Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.delenv("LLAMA_VID_SERVER_PORT", raising=False)

    def write_file(text: str | bytes) -> Path:
        path = tmp_path / "llama-vid.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as problem:
        load_config(path)
    assert problem.value.exit_code == 2
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_everything_of_the_design_is_taken(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write(WHOLE)
    with caplog.at_level(logging.WARNING):
        config = load_config(path)
    front = config.cameras["front"]
    assert front.url.get_secret_value() == "rtsp://user:hunter22@10.0.0.5/stream"
    assert (front.fps, front.alerts[0].hold, front.alerts[0].cooldown) == (2.0, 3.0, 90.0)
    assert config.file == path
    assert config.memory.context_tokens == "auto"
    # No secret in any text that may be logged.
    assert "hunter22" not in repr(config) + str(config) + config.model_dump_json()
    assert front.captions.enabled
    assert not caplog.messages


def test_paths_of_the_server_count_from_the_file(write: Write) -> None:
    path = write("server: {tokens_file: tokens.json, tls: {cert: tls/cert.pem, key: /etc/key.pem}}\n")
    server = load_config(path).server
    assert server.tokens_file == path.parent / "tokens.json"
    assert server.tls == Tls(cert=path.parent / "tls" / "cert.pem", key=Path("/etc/key.pem"))


def test_the_empty_file_and_no_file_are_the_defaults(write: Write) -> None:
    assert load_config(write("")).model_dump() == load_config().model_dump() == Config().model_dump()
    assert load_config(write("cameras:\n")).cameras == {}


def test_the_environment_wins(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_SERVER_PORT", "9000")
    monkeypatch.setenv("LLAMA_VID_MEMORY_CONTEXT_TOKENS", "4096")
    monkeypatch.setenv("LLAMA_VID_DATA", "/somewhere")  # the evaluation's, not ours
    config = load_config(write("server: {port: 1}\n"))
    assert (config.server.port, config.memory.context_tokens) == (9000, 4096)


def test_the_memory_folder_counts_from_the_file(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_config(write("memory: {path: kept/here}\n")).memory_folder == tmp_path / "kept/here"
    assert load_config(write("")).memory_folder == tmp_path / "data"
    assert load_config(write("memory: {path: ~/kept}\n")).memory_folder == tmp_path / "home/kept"
    assert load_config(write("memory: {path: /var/kept}\n")).memory_folder == Path("/var/kept")
    assert load_config().memory_folder == elsewhere / "data"
    # The file may be named by a path that is relative itself.
    write("")
    assert load_config("../llama-vid.yaml").memory_folder.resolve() == tmp_path / "data"


def test_a_memory_folder_is_tried_and_left_alone(write: Write, tmp_path: Path) -> None:
    check_memory(load_config(write("memory: {path: a/b/c}\n")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llama-vid.yaml"]
    (tmp_path / "taken").write_text("a file")
    for path, why in (("taken", "Not a directory"), ("taken/below", "Not a directory"), ("/proc/none", "")):
        with pytest.raises(ConfigError, match=rf"^memory\.path: .*{path} cannot be written \({why}") as problem:
            check_memory(load_config(write(f"memory: {{path: {path}}}\n")))
        assert "set memory.path to another folder" in str(problem.value)


@pytest.mark.parametrize("value", ["x", "99999"])
def test_a_bad_variable_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_SERVER_PORT", value)
    with pytest.raises(ConfigError, match=r"^environment LLAMA_VID_SERVER_PORT: 'server.port': "):
        load_config()


def test_a_variable_that_should_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_CAMERAS", "front")
    with pytest.raises(ConfigError, match=r"environment.*cameras"):
        load_config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\ncamras:\n  front: {url: a}\n", "llama-vid.yaml:3: unknown key 'camras'; did you mean 'cameras'?"),
        ("server:\n  prot: 1\n", "llama-vid.yaml:2: unknown key 'prot'; did you mean 'port'?"),
        ("zzz: 1\n", "known here: server, model, llm, timezone, memory, mqtt, webhooks, webrtc, cluster, cameras"),
        (
            "cameras:\n  a:\n    url: x.mp4\n    alerts:\n      - {name: n, when: w, fro: 3s}\n",
            "unknown key 'fro'; did you",
        ),
        (
            "cameras:\n  a:\n    url: x.mp4\n    alerts:\n      - {name: n, when: w, for: soon}\n",
            "yaml:5: 'cameras.a.alerts.0.for",
        ),
        ("cameras:\n  a:\n    fps: 1\n", "llama-vid.yaml:2: 'cameras.a.url' is missing; add it"),
        ("cameras:\n  a:\n", "llama-vid.yaml:2: 'cameras.a' must be a section with keys under it: url, fps"),
        ("cameras: [front]\n", "llama-vid.yaml:1: 'cameras' must be a section"),
        ("cameras:\n  front door: {url: x.mp4}\n", "camera name 'front door' is not allowed"),
        ("cameras:\n  a: {url: x.mp4, fps: 0}\n", "'cameras.a.fps': input should be greater than 0"),
        ("server: {port: 70000}\n", "llama-vid.yaml:1: 'server.port': input should be less than or equal to 65535"),
        ("memory:\n  context_tokens: lots\n", "llama-vid.yaml:2: 'memory.context_tokens': input should be 'auto' or"),
        ("memory: {retention_days: 0}\n", "llama-vid.yaml:1: 'memory.retention_days': input should be greater than 0"),
        (
            "memory: {path: ~nobody-of-this-name/x}\n",
            "1: 'memory.path': '~nobody-of-this-name/x' names the home folder",
        ),
        ("timezone: Berlin\n", "'Berlin' is not a time zone"),
        ("model: {dtype: int3}\n", "'model.dtype': input should be 'auto', 'float32'"),
        ("a: 1\na: 2\n", "llama-vid.yaml:2: not valid YAML: found duplicate key"),
        ("server: {port: 1\nmodel: 2", "not valid YAML"),
        ("- a\n", "the file must be sections"),
        ("just text", "the file must be sections"),
        ("server: !!python/object/apply:os.system ['true']\n", "'server'"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        ("a: \x07\n", "not valid YAML"),
    ],
)
def test_each_mistake_gets_one_line(write: Write, text: str | bytes, message: str) -> None:
    assert message in refusal(write(text))


def test_several_mistakes_come_in_the_order_of_the_file(write: Write) -> None:
    text = refusal(write("sever: {}\nmodel: {nam: x}\ncameras: {a: {url: 'ftp://u:hunter22@h/'}}\n"))
    assert [part.split(": ")[0] for part in text.split("; llama") if "yaml:" in part] == [
        "llama-vid.yaml:1",
        "-vid.yaml:2",
        "-vid.yaml:3",
    ]
    assert "hunter22" not in text


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "none.yaml")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://h/s",
        "RTSPS://u:p@h:322/",
        "http://h/a.m3u8",
        "webrtc:",
        "file:/a.mp4",
        "v4l2:/dev/video0",
        "a.mp4",
        "./b/c.mp4",
    ],
)
def test_good_urls(url: str) -> None:
    assert check_camera_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rtsp:///s",
        "rtsp://h:x/s",
        "http://",
        "ftp://h/",
        "concat:a|b",
        "webrtc:x",
        "file:",
        "rtsp://h/a b",
        "data:x",
    ],
)
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"use one of|give|write|takes nothing"):
        check_camera_url(url)


@pytest.mark.parametrize(
    "url", ["rtsp://u:hunter22@h:x/s", "ftp://u:hunter22@h/", "rtsp://u:hunter22@/s", "http://u:hunter22@h/ "]
)
def test_refusals_do_not_repeat_the_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^[^@]*$") as problem:
        check_camera_url(url + "\x00 x")
    assert "hunter22" not in str(problem.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_loopback_may_be_bound(host: str) -> None:
    check_bind(ServerSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_nothing_else_may_be_bound(host: str) -> None:
    with pytest.raises(ConfigError, match=r"set server.host to 127\.0\.0\.1"):
        check_bind(ServerSettings(host=host))
