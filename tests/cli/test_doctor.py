"""`doctor` with a configuration: each thing that is wrong is named with how to mend it, and no secret is said."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from llama_vid.commands import doctor as command
from llama_vid.commands import doctor_server
from llama_vid.commands.checks import Check
from llama_vid.commands.doctor_peers import look_at_broker, look_at_camera, look_at_cameras
from llama_vid.commands.doctor_server import look_at_bind, look_at_clock, look_at_memory, look_at_port, synchronised
from llama_vid.config import load_config
from llama_vid.settings import CameraSettings, Config
from tests.conftest import painted, write_video
from tests.peers.mosquitto import Broker, certificates, missing
from tests.peers.rtsp import free_port
from tests.server.running import running_server


def configured(folder: Path, text: str) -> Config:
    file = folder / "llama-vid.yaml"
    file.write_text(text)
    return load_config(file)


def by_subject(checks: list[Check]) -> dict[str, Check]:
    for check in checks:
        assert check.status == "ok" or check.fix, check
    return {check.subject: check for check in checks}


def test_the_whole_of_it_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_video(tmp_path / "film.mp4", [painted(s) for s in range(2)])
    configured(
        tmp_path,
        f"server: {{port: {free_port()}}}\ntimezone: Europe/Berlin\nmemory: {{path: kept, retention_gb: 1}}\n"
        f"cameras:\n  film: {{url: '{film}'}}\n  web: {{url: 'webrtc:'}}\n"
        f"  gone: {{url: 'rtsp://bob:hunter22@127.0.0.1:{free_port()}/live'}}\n",
    )
    monkeypatch.setattr(command, "MACHINE", ())
    monkeypatch.setattr(command, "look_at_peers", lambda: iter(()))
    with pytest.raises(typer.Exit) as left:
        command.doctor(tmp_path / "llama-vid.yaml", as_json=True)
    assert left.value.exit_code == 1  # one camera is gone
    said = capsys.readouterr().out
    assert "hunter22" not in said
    found = {check["subject"]: check for check in json.loads(said)["checks"]}
    assert {"configuration", "access", "port", "memory folder", "disk speed", "clock", "timezone"} <= set(found)
    assert [found[f"camera {name}"]["status"] for name in ("film", "web", "gone")] == ["ok", "ok", "problem"]
    assert "a picture of 160×96" in found["camera film"]["detail"]
    assert found["camera gone"]["fix"].startswith("check the port")
    assert not (tmp_path / "kept").exists()


def test_a_wrong_configuration_is_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama-vid.yaml").write_text("server: {prot: 1}\n")
    monkeypatch.setattr(command, "MACHINE", ())
    monkeypatch.setattr(command, "look_at_peers", lambda: iter(()))
    found = by_subject([check for look in command.looks(tmp_path / "llama-vid.yaml") for check in look()])
    assert found["configuration"].status == "problem"
    assert "llama-vid.yaml:1" in found["configuration"].detail


def test_who_may_come_in(tmp_path: Path) -> None:
    alone = by_subject(list(look_at_bind(configured(tmp_path, "server: {port: 8710}\n"))))
    assert alone["access"].status == "ok"
    opened = by_subject(
        list(look_at_bind(configured(tmp_path, "server: {host: 0.0.0.0}\ncameras: {web: {url: 'webrtc:'}}\n")))
    )
    assert opened["access"].status == "problem"
    assert "tokens_file" in opened["access"].fix
    assert opened["https"].status == "warning"
    assert "server.tls" in opened["https"].fix


def test_a_certificate_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates(tmp_path)  # for a day
    config = configured(tmp_path, f"server: {{tls: {{cert: {made.server}, key: {made.server_key}}}}}\n")

    def found() -> Check:
        return by_subject(list(look_at_bind(config)))["certificate"]

    assert (found().status, "runs out on" in found().detail) == ("warning", True)
    monkeypatch.setattr(doctor_server, "RENEW_DAYS", 0)
    assert found().detail.startswith("good until ")

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Later:  # type: ignore[override]
            return cls(2100, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(doctor_server, "datetime", Later)
    assert (found().status, found().fix) == ("problem", "renew it")


def test_a_port_that_is_taken_by_another_program_and_by_ours() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (check,) = look_at_port("127.0.0.1", taken.getsockname()[1])
    assert check.status == "warning"
    assert "server.port" in check.fix
    with running_server({}) as server:
        (check,) = look_at_port("127.0.0.1", int(server.url.rpartition(":")[2]))
    assert check.status == "ok"
    assert "a llama-vid server runs" in check.detail


def test_the_memory_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, "memory: {path: kept, retention_gb: 1}\n")
    found = by_subject(list(look_at_memory(config)))
    assert {check.status for check in found.values()} == {"ok"}
    assert list(tmp_path.iterdir()) == [tmp_path / "llama-vid.yaml"]
    config = configured(tmp_path, "memory: {path: kept, retention_gb: 99999999}\n")
    assert "memory.retention_gb" in by_subject(list(look_at_memory(config)))["memory folder"].fix
    monkeypatch.setattr(doctor_server, "measured", lambda _: (0.5, 2.0))
    found = by_subject(list(look_at_memory(config)))
    assert (found["disk speed"].status, found["disk speed"].detail) == (
        "warning",
        "0 MB/s, 2000 ms for a synced write",
    )

    def full(_: Path) -> tuple[float, float]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(doctor_server, "measured", full)
    (check,) = look_at_memory(config)
    assert (check.status, "No space left" in check.detail) == ("problem", True)


def test_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert synchronised() in (True, False, None)
    for good, status in ((True, "ok"), (False, "warning"), (None, "ok")):
        monkeypatch.setattr(doctor_server, "synchronised", lambda good=good: good)
        assert by_subject(list(look_at_clock("Europe/Berlin")))["clock"].status == status
    monkeypatch.setattr(doctor_server.time, "time", lambda: 0.0)
    found = by_subject(list(look_at_clock("Europe/Berlin")))
    assert found["clock"].status == "problem"
    assert found["timezone"] == Check("timezone", "ok", "Europe/Berlin")


def test_the_broker(tmp_path: Path) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    secret = tmp_path / "password"
    secret.write_text("open-sesame\n")
    with Broker(tmp_path, users={"bob": "open-sesame"}) as broker:
        text = f"mqtt: {{host: 127.0.0.1, port: {broker.port}, username: bob, password_file: password}}\n"
        (check,) = look_at_broker(configured(tmp_path, text))
        assert check == Check("mqtt", "ok", f"127.0.0.1:{broker.port} takes us")
        secret.write_text("hunter22\n")
        (check,) = look_at_broker(configured(tmp_path, text))
        assert check.status == "problem"
        assert "refused the user name or password" in check.detail
        assert "mqtt.password_file" in check.fix
        assert "hunter22" not in check.detail + check.fix
    (check,) = look_at_broker(configured(tmp_path, text))  # the broker is gone
    assert "Connection refused" in check.detail
    secret.unlink()
    (check,) = look_at_broker(configured(tmp_path, text))
    assert "there is no file" in check.detail
    assert list(look_at_broker(configured(tmp_path, "timezone: UTC\n"))) == []


async def test_a_camera_that_says_nothing(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://bob:hunter22@127.0.0.1:{silent.getsockname()[1]}/live.m3u8"
        settings = CameraSettings.model_validate({"url": url})
        check = await look_at_camera("front", settings, within_s=0.5)
    assert (check.status, check.detail) == ("problem", "no picture within 0.5 s")
    assert "url" in check.fix


def test_no_cameras() -> None:
    assert list(look_at_cameras(Config())) == []
