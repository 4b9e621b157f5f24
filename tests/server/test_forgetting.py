"""A span of a camera's past forgotten and exported: over HTTP, and by the command line, with and without a server."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path

import pytest

from llama_vid.commands import memory as commands
from llama_vid.commands.moments import length, moment, spelled
from llama_vid.errors import ConfigError, LlamaVidError
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import Record, ToldSpan
from tests.server.running import RunningServer, running_server, until
from tests.server.scripted import ScriptedModel
from tests.server.test_captions import HALL, line, say

NOON = 1_790_000_000.0


def remembered(journal: Journal, camera: str = "gone", seconds: int = 10) -> None:
    """Some seconds of a camera that is not configured any more: a scene, a line and a picture in each."""
    past = journal.camera(camera)
    for second in range(seconds):
        at = NOON + second
        past.picture(at, b"\xff\xd8 picture %d" % second)
        past.tell(ToldSpan(at, at + 1, f"scene {second}", 0.1))
        past.note(Record("transcript", at, at + 1, f"line {second}", {"words": []}))
    assert journal.flush()


def captions(server: RunningServer, camera: str = "gone") -> list[str]:
    spans = server.http.get(f"/api/cameras/{camera}/timeline").json()["spans"]
    return [span["caption"] for span in spans]


def test_forgetting_over_http(tmp_path: Path) -> None:
    with running_server(memory=tmp_path) as server:
        assert server.journal is not None
        remembered(server.journal)
        answer = server.http.delete("/api/cameras/gone/memory", params={"from": NOON + 2, "to": NOON + 5})
        assert answer.status_code == 200
        assert answer.json() == {
            "forgotten_s": 0.0,
            "pictures": 3,
            "entries": 0,
            "scenes": 3,
            "records": 3,
            "alerts": 0,
            "scrubbed": True,
        }
        assert captions(server) == [f"scene {second}" for second in (0, 1, 5, 6, 7, 8, 9)]
        assert "line 3" not in server.http.get("/api/cameras/gone/captions.vtt").text
        # The picture nearest to a forgotten time is one that is left.
        assert server.http.get(f"/api/cameras/gone/frames/{NOON + 3:.3f}.jpg").content == b"\xff\xd8 picture 1"
        # A running camera's own memory forgets with the journal.
        assert server.http.delete("/api/cameras/front/memory", params={"from": 0, "to": 10}).status_code == 200
        assert server.model.session("front").forgotten == [(0.0, 10.0)]
        assert server.model.session("back").forgotten == []


def test_a_camera_that_is_just_opening_forgets_as_well(tmp_path: Path) -> None:
    go, model = threading.Event(), ScriptedModel()

    def load() -> ScriptedModel:
        assert go.wait(20)
        return model

    with running_server(memory=tmp_path, load_model=load, ready=False) as server:
        assert server.journal is not None
        remembered(server.journal, "front")
        span = {"from": NOON, "to": NOON + 5}
        assert server.http.delete("/api/cameras/front/memory", params=span).json()["scenes"] == 5
        go.set()
        until(lambda: "front" in model.sessions and model.session("front").forgotten, "the camera to forget")
        assert model.session("front").forgotten == [(NOON, NOON + 5)]
        assert server.http.get("/api/cameras/front").json()["state"] in ("live", "connecting")


def test_live_captions_are_forgotten_too() -> None:
    begin = 6.0 * 283_333_000
    with running_server(HALL) as server:
        say(server, "hall", line("Four score and seven years ago.", begin + 1))
        server.model.session("hall").heard_to = begin + 30.0
        assert ".vtt" in server.http.get("/api/cameras/hall/captions.m3u8").text
        span = {"from": begin, "to": begin + 60}
        assert server.http.delete("/api/cameras/hall/memory", params=span).status_code == 200
        assert server.http.get(f"/api/cameras/hall/captions/{283_333_000}.vtt").status_code == 404


@pytest.mark.parametrize(
    ("camera", "query", "status", "code", "param"),
    [
        ("nobody", {"from": 0, "to": 1}, 404, "no_such_camera", "camera"),
        ("front", {"from": 5, "to": 5}, 400, "invalid_request", "to"),
        ("front", {"from": 0}, 422, "invalid_request", "to"),
        ("front", {"from": "x", "to": 1}, 422, "invalid_request", "from"),
        ("front", {"from": "nan", "to": 1}, 422, "invalid_request", "from"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("DELETE", "memory"), ("GET", "export")])
def test_bad_requests(
    method: str, path: str, camera: str, query: dict[str, object], status: int, code: str, param: str
) -> None:
    with running_server() as server:
        answer = server.http.request(method, f"/api/cameras/{camera}/{path}", params=query)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"]["param"].endswith(param)


def test_exporting_over_http(tmp_path: Path) -> None:
    with running_server(memory=tmp_path) as server:
        assert server.journal is not None
        remembered(server.journal)
        remembered(server.journal, "front")
        answer = server.http.get("/api/cameras/gone/export", params={"from": NOON, "to": NOON + 4})
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == 'attachment; filename="gone-20260921T141320Z.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            spans = json.loads(archive.read("timeline.json"))["spans"]
            assert [span["caption"] for span in spans] == ["scene 0", "scene 1", "scene 2", "scene 3"]
            pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
            assert [archive.read(name) for name in pictures] == [b"\xff\xd8 picture %d" % second for second in range(4)]
        # What a running camera has not told the journal yet is in it, too.
        whole = server.http.get("/api/cameras/front/export", params={"from": 0, "to": NOON + 99}).content
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            spans = json.loads(archive.read("timeline.json"))["spans"]
            assert [span["caption"] for span in spans[:3]] == [
                "an empty doorway",
                "a man puts a package down",
                "a package at the door",
            ]
            assert len(spans) == 13
        nothing = server.http.get("/api/cameras/back/export", params={"from": 0, "to": 1})
        assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "nothing_kept")


def configured(folder: Path, port: int = 1) -> Path:
    file = folder / "llama-vid.yaml"
    file.write_text(f"server: {{port: {port}}}\nmemory: {{path: kept}}\ntimezone: UTC\n")
    return file


def test_the_commands_on_the_memory_of_a_stopped_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = configured(tmp_path)
    with Journal(tmp_path / "kept") as journal:
        remembered(journal)
    commands.export("gone", spelled(NOON), str(NOON + 4), output=tmp_path / "gone.zip", config=file)
    assert capsys.readouterr().out == f"{tmp_path}/gone.zip: 0.0 MB\n"
    with zipfile.ZipFile(tmp_path / "gone.zip") as archive:
        assert json.loads(archive.read("about.json"))["pictures"] == 4
    assert (tmp_path / "gone.zip").stat().st_mode & 0o077 == 0
    commands.forget("gone", str(NOON + 1), "2100-01-01", config=file, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["camera"], said["pictures"], said["scenes"], said["scrubbed"]) == ("gone", 9, 9, True)
    commands.forget("gone", "beginning", "now", config=file, yes=True)
    assert "gone: forgot" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="nothing is kept of a camera 'gone'"):
        commands.forget("gone", "beginning", "now", config=file, yes=True)
    assert not list((tmp_path / "kept" / "frames").iterdir())


def test_the_commands_through_the_server_that_has_the_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(memory=tmp_path / "kept") as server:
        assert server.journal is not None
        remembered(server.journal)
        file = configured(tmp_path, int(server.url.rpartition(":")[2]))
        commands.export("gone", str(NOON), str(NOON + 2), output=tmp_path / "gone.zip", config=file)
        with zipfile.ZipFile(tmp_path / "gone.zip") as archive:
            assert json.loads(archive.read("about.json"))["pictures"] == 2
        capsys.readouterr()
        commands.forget("gone", "beginning", str(NOON + 2), config=file, as_json=True)
        assert json.loads(capsys.readouterr().out)["scenes"] == 2
        assert captions(server)[0] == "scene 2"
        with pytest.raises(LlamaVidError, match=r"the server refused: No camera 'nobody'; known: back, front\."):
            commands.forget("nobody", "beginning", "now", url=server.url, config=file, yes=True)
        with pytest.raises(LlamaVidError, match="is in use by another process, and no server answers at"):
            commands.forget("gone", "beginning", "now", config=configured(tmp_path, 1), yes=True)
        with pytest.raises(LlamaVidError, match="the server refused"):
            commands.export("nobody", "1h", "now", output=tmp_path / "no.zip", url=server.url, config=file)
    assert not (tmp_path / "no.zip").exists()
    assert not (tmp_path / "no.zip.part").exists()


def test_times_and_names_that_are_none(tmp_path: Path) -> None:
    file = configured(tmp_path)
    with pytest.raises(ConfigError, match="'yesteryear' is not a time; write it as 2026-11-24T21:00"):
        commands.forget("gone", "yesteryear", "now", config=file, yes=True)
    with pytest.raises(ConfigError, match="is not after --from"):
        commands.forget("gone", "now", "1h", config=file, yes=True)
    with pytest.raises(ConfigError, match="is not a camera's name"):
        commands.forget("../etc", "1h", "now", config=file, yes=True)
    with pytest.raises(ConfigError, match="there is no memory in"):
        commands.forget("gone", "1h", "now", config=file, yes=True)
    assert not (tmp_path / "kept").exists()


def test_times_as_people_write_them() -> None:
    from datetime import UTC
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    assert moment("2h", now=10_000.0) == 2_800.0
    assert moment("-30m ago", now=10_000.0) == 8_200.0
    assert moment("1764000000.5") == 1_764_000_000.5
    assert moment("2025-11-24T17:00", berlin) == moment("2025-11-24 16:00:00", UTC) == 1_764_000_000.0
    assert moment("2025-11-24T17:00+01:00", UTC) == 1_764_000_000.0
    assert moment("17:00", berlin, now=1_764_010_000.0) == 1_764_000_000.0
    assert moment("beginning") == float("-inf")
    assert spelled(1_764_000_000.0, berlin) == "2025-11-24 17:00:00"
    assert (length(5), length(3753), length(200_000)) == ("00:05", "1:02:33", "2 days, 7:33:20")
