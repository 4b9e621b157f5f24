"""What `llama-vid.yaml` may say, one frozen class per section (DESIGN section 5); `llama_vid.config` reads the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from llama_vid.settings_alerts import AlertRules
from llama_vid.settings_captions import OFF, Captions
from llama_vid.settings_cluster import ClusterSettings
from llama_vid.settings_limits import Limits
from llama_vid.settings_llm import LlmSettings
from llama_vid.settings_mqtt import MqttSettings
from llama_vid.settings_privacy import PrivacyMasks
from llama_vid.settings_section import Section
from llama_vid.settings_webhook import Webhooks
from llama_vid.settings_webrtc import WebrtcSettings

CAMERA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: What a camera's url may begin with; a text without any scheme is a path.
CONFIG_SCHEMES = ("rtsp", "rtsps", "http", "https", "webrtc", "file", "v4l2")
#: What a camera that is added over the network may begin with: nothing that opens local files or devices.
NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https", "webrtc")


def check_camera_url(url: str, schemes: tuple[str, ...] = CONFIG_SCHEMES) -> str:
    """The url, trimmed, when its scheme is one of `schemes` and it names a host where it must; else a ValueError.

    The message never repeats the url, which may hold a password.
    """
    url = url.strip()
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", url)
    scheme = found[1].lower() if found else ""
    if not url:
        raise ValueError("the url is empty; give rtsp://, http(s)://, webrtc:, file:, v4l2: or a path")
    if scheme not in schemes and (scheme or "file" not in schemes):
        allowed = ", ".join(f"{name}:" for name in schemes)
        kind = f"{scheme}:" if scheme else "path"
        raise ValueError(f"a url of the kind {kind} is not allowed here; use one of {allowed}")
    if scheme in ("rtsp", "rtsps", "http", "https"):
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(f"the {scheme} url has a broken host or port; write {scheme}://host:port/path") from None
        if not parts.hostname or port == 0 or any(ord(letter) <= 32 for letter in url):
            raise ValueError(f"the {scheme} url names no host, or has blanks in it; write {scheme}://host:port/path")
    elif scheme == "file" and not url[len("file:") :].strip("/"):
        raise ValueError("the file url names nothing to open; write file:/path/to/video.mp4")
    elif scheme == "webrtc" and url[len("webrtc:") :].strip("/"):
        raise ValueError("webrtc: takes nothing after the colon; a publisher comes in over /whip/<camera>")
    return url


class Tls(Section):
    """Certificate chain and private key, PEM files."""

    cert: Path
    key: Path


class ServerSettings(Section):
    """Where the one port listens, by which other names it is called, and who may come in.

    With a `tokens_file` whoever comes needs a token of it; off loopback there must be one. `tokens_file` and `tls` are
    absolute once `load_config` has read them: what is relative counts from the folder of the file.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8710, ge=0, le=65535)
    hosts: list[Annotated[str, Field(max_length=253)]] = Field(default_factory=list, max_length=64)
    tokens_file: Path | None = None
    tls: Tls | None = None
    limits: Limits = Limits()

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+", name):
                raise ValueError(f"{name!r} is no host name; write it without scheme, port and path: cams.example.org")
        return value

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can reach the port."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", self.host) is not None


class ModelSettings(Section):
    """Which model answers, where and in which number format: a bundle, or a published LLaMA-VID checkpoint.

    Beside a checkpoint the bundle `scorer` scores pictures against texts, for search, evidence and alerts. `quantize`,
    `device_map` and `max_memory` are for big language models, `compile` for GPUs (docs/models.md).
    """

    name: str = Field(default="mini", min_length=1)
    scorer: str = Field(default="mini", min_length=1)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: Literal["none", "int8", "int4"] = "none"
    device_map: Literal["auto", "balanced", "sequential"] | dict[str, int | str] | None = None
    max_memory: dict[int | str, int | str] | None = None
    compile: bool = False


class MemorySettings(Section):
    """How much is remembered, where, and for how long. `recent_minutes` are never consolidated.

    `path` as it was written; `Config.memory_folder` is the folder that it means.
    """

    path: Path = Path("data")
    context_tokens: Literal["auto"] | Annotated[int, Field(ge=512)] = "auto"
    recent_minutes: float = Field(default=10, ge=0)
    retention_days: float = Field(default=7, gt=0)
    retention_gb: float = Field(default=20, gt=0)

    @field_validator("path")
    @classmethod
    def _path(cls, value: Path) -> Path:
        try:
            value.expanduser()
        except RuntimeError:
            raise ValueError(f"{str(value)!r} names the home folder of nobody; write the whole path") from None
        return value


class CameraSettings(Section):
    """One camera. The url is a secret as a whole, since it may hold a password."""

    url: SecretStr
    fps: float = Field(default=1.0, gt=0, le=30)
    decoder: Literal["auto", "cpu", "cuda", "vaapi"] = "auto"
    captions: Captions = OFF
    watch_for: str | None = Field(default=None, max_length=500)
    alerts: AlertRules = Field(default_factory=list)
    privacy_masks: PrivacyMasks = Field(default_factory=list)

    @field_validator("url")
    @classmethod
    def _url(cls, value: SecretStr) -> SecretStr:
        return SecretStr(check_camera_url(value.get_secret_value()))

    @property
    def publishable(self) -> bool:
        """Whether the picture comes in over WHIP."""
        return self.url.get_secret_value().lower().startswith("webrtc:")

    @property
    def masked(self) -> bool:
        """Whether parts of the picture are private: then nothing may leave but what was decoded and masked."""
        return bool(self.privacy_masks)


class Config(BaseSettings):
    """The whole of `llama-vid.yaml`. Environment variables such as `LLAMA_VID_SERVER_PORT=9000` win over the file."""

    model_config = SettingsConfigDict(
        env_prefix="LLAMA_VID_",
        env_nested_delimiter="_",
        # One split only, so that LLAMA_VID_MEMORY_CONTEXT_TOKENS means memory.context_tokens.
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    server: ServerSettings = ServerSettings()
    model: ModelSettings = ModelSettings()
    llm: LlmSettings = LlmSettings()
    timezone: str | None = None
    memory: MemorySettings = MemorySettings()
    mqtt: MqttSettings | None = None
    webhooks: Webhooks = Field(default_factory=list)
    webrtc: WebrtcSettings = WebrtcSettings()
    cluster: ClusterSettings = ClusterSettings()
    cameras: dict[str, CameraSettings] = Field(default_factory=dict)

    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The file that this was read from; the running server follows its changes."""
        return self._file

    @property
    def memory_folder(self) -> Path:
        """`memory.path`, absolute: `~` is the home folder, and what is relative counts from the folder of the file.

        Without a file it counts from the working directory.
        """
        beside = self._file.parent if self._file is not None else Path()
        return (beside / self.memory.path.expanduser()).absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as keyword arguments; nothing else is read."""
        return env_settings, init_settings

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"{value!r} is not a time zone; write it as Europe/Berlin") from None
        return value

    @field_validator("cameras", mode="before")
    @classmethod
    def _no_cameras(cls, value: object) -> object:
        return {} if value is None else value  # `cameras:` with nothing under it

    @field_validator("cameras")
    @classmethod
    def _ids(cls, value: dict[str, CameraSettings]) -> dict[str, CameraSettings]:
        for name in value:
            if not CAMERA_ID.fullmatch(name):
                raise ValueError(f"camera name {name!r} is not allowed; use up to 64 letters, digits, - and _")
        return value
