"""`config import`: cameras of Frigate and go2rtc, their passwords in the new file alone, and what was left out."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from llama_vid.camera_lists import camera_name
from llama_vid.commands.config_import import import_cameras, read_lists
from llama_vid.config import load_config
from llama_vid.errors import ConfigError

FRIGATE = """
mqtt: {host: mqtt.lan, user: frigate, password: s3cret-broker, topic_prefix: frigate}
detectors: {coral: {type: edgetpu}}
go2rtc:
  streams:
    back: ["rtsp://admin:p%40ss@10.0.0.6:554/ch0"]
cameras:
  Front Door:
    ffmpeg:
      inputs:
        - {path: "rtsp://viewer:{FRIGATE_RTSP_PASSWORD}@10.0.10.10:554/cam?channel=1&subtype=2", roles: [detect]}
        - {path: "rtsp://viewer:secret99@10.0.10.10:554/live", roles: [record]}
    motion: {mask: ["0,461,3,0,1919,0"]}
    objects: {track: [person, dog]}
    audio_transcription: {enabled: true}
  back: {ffmpeg: {inputs: [{path: "rtsp://127.0.0.1:8554/back", roles: [record, detect]}]}}
  "off": {enabled: false, ffmpeg: {inputs: [{path: "rtsp://10.0.0.1/y", roles: [detect]}]}}
"""

GO2RTC = """
api: {listen: ":1984"}
rtsp: {listen: ":8555", username: u, password: "p@w"}
streams:
  yard: rtsp://admin:hunter22@10.0.0.7/stream1#backchannel=0
  hall: ["exec:some-program", "ffmpeg:http://10.0.0.8/video.mjpg#video=h264", "ffmpeg:hall#audio=opus"]
  usb: v4l2:device?video=/dev/video0&input_format=mjpeg
  tapo.cam: tapo://cloudsecret@10.0.0.9
  unifi: rtspx://10.0.0.10:7441/abc
  again: ffmpeg:yard#video=copy
  circle: ["ffmpeg:circle#video=copy"]
  env: rtsp://a:${CAM_PW:fallback}@10.0.0.11/
"""


def written(folder: Path, text: str, name: str = "theirs.yml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def urls(file: Path) -> dict[str, str]:
    return {name: camera.url.get_secret_value() for name, camera in load_config(file).cameras.items()}


def test_frigate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRIGATE_RTSP_PASSWORD", "pw-of-env")
    ours = tmp_path / "ours.yaml"
    import_cameras(written(tmp_path, FRIGATE), ours)
    said = "".join(capsys.readouterr())
    for secret in ("pw-of-env", "s3cret-broker", "secret99", "p%40ss"):
        assert secret not in said
    assert urls(ours) == {
        "Front-Door": "rtsp://viewer:pw-of-env@10.0.10.10:554/cam?channel=1&subtype=2",
        "back": "rtsp://127.0.0.1:8554/back",
    }
    config = load_config(ours)
    assert config.cameras["Front-Door"].captions
    assert config.mqtt is not None
    assert config.mqtt.options(tmp_path).password == "s3cret-broker"
    assert "s3cret-broker" not in ours.read_text()
    for file in (ours, tmp_path / "mqtt-password"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for note in (
        "Front Door: is called Front-Door here",
        "privacy_masks",
        "objects.track (person, dog)",
        "back: is watched through Frigate's go2rtc",
        "off: left out: it is switched off",
        "mqtt: not taken over: topic_prefix",
        "not taken over: detectors",
    ):
        assert note in said


def test_a_placeholder_that_nobody_fills_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRIGATE_RTSP_PASSWORD", raising=False)
    found = read_lists(written(tmp_path, FRIGATE))
    assert "viewer:{FRIGATE_RTSP_PASSWORD}@" in found.cameras[0].url
    assert any("FRIGATE_RTSP_PASSWORD is not set here" in note for note in found.notes)


def test_go2rtc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = tmp_path / "ours.yaml"
    import_cameras(written(tmp_path, GO2RTC), ours, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["program"], said["cameras"][:2]) == ("go2rtc", ["yard", "hall"])
    assert urls(ours) == {
        "yard": "rtsp://admin:hunter22@10.0.0.7/stream1",
        "hall": "http://10.0.0.8/video.mjpg",
        "usb": "v4l2:/dev/video0",
        "tapo-cam": "rtsp://u:p%40w@127.0.0.1:8555/tapo.cam",
        "unifi": "rtsps://10.0.0.10:7441/abc",
        "again": "rtsp://admin:hunter22@10.0.0.7/stream1",
        "circle": "rtsp://u:p%40w@127.0.0.1:8555/circle",
        "env": "rtsp://a:fallback@10.0.0.11/",
    }
    assert any(note.startswith("tapo.cam: (tapo) is watched through go2rtc") for note in said["notes"])
    assert "cloudsecret" not in json.dumps(said)
    assert "not taken over: api" in said["notes"]


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path, GO2RTC), written(tmp_path, "cameras: {}\n", "ours.yaml")
    with pytest.raises(ConfigError, match="is there already"):
        import_cameras(theirs, ours)
    assert ours.read_text() == "cameras: {}\n"
    import_cameras(theirs, ours, force=True)
    assert len(urls(ours)) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: [", "not valid YAML"),
        ("other: 1", "neither Frigate's"),
        ("- a list", "not a section"),
        ("cameras: {a: 5}", "'cameras.a' is not a section"),
        ("cameras: {a: {ffmpeg: {inputs: []}}}", "no camera in it can be taken over: a: left out"),
        ("cameras: {a: {ffmpeg: {inputs: [{path: 'gopher://x/y'}]}}}", "left out: a url of the kind gopher:"),
        ("streams: {}", "it names none"),
        ("streams: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        import_cameras(written(tmp_path, text), tmp_path / "ours.yaml")
    assert said in str(wrong.value)
    assert not (tmp_path / "ours.yaml").exists()


def test_names() -> None:
    assert camera_name("front", set()) == "front"
    assert camera_name("Straße 5 / Hof", set()) == "Stra-e-5-Hof"
    assert camera_name("a b", {"a-b"}) == "a-b-2"
    assert camera_name("…", {"camera"}) == "camera-2"
    assert len(camera_name("x" * 100, {"x" * 64})) <= 64
