"""The `llm:` section of the settings: who puts answers into words, and what may leave this machine for it."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from llama_vid.clients.mqtt.options import read_secret
from llama_vid.errors import ConfigError
from llama_vid.llm.remote_options import RemoteOptions
from llama_vid.llm.vllm_options import VllmOptions, is_private
from llama_vid.settings_address import trusted_certificates, web_address
from llama_vid.settings_section import Seconds, Section
from llama_vid.settings_vllm import VllmSettings

Wait = Annotated[Seconds, Field(gt=0, le=3600)]
#: Names that only a private network knows (RFC 6762, 8375, and what routers and containers use).
_PRIVATE_NAME = re.compile(r"[^.]+|.+\.(?:local|lan|home|internal|localdomain|localhost|intranet|home\.arpa)")


class OpenAISettings(Section):
    """Any server that speaks OpenAI's chat completions: OpenAI itself, Ollama, llama.cpp, vLLM and others.

    Questions take a few frames of what was found for them, scene captions, alerts and what was said there.
    `max_images: 0` sends text alone; `cameras` names those that may be asked about (left out: all).
    `requests_per_hour` and `images_per_hour` bound what it costs; `null`: no limit.
    """

    base_url: str
    model: str = Field(min_length=1, max_length=500)
    api_key_file: Path | None = None
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    ca: Path | None = None
    timeout: Wait = 60.0
    connect_timeout: Wait = 5.0
    token_timeout: Wait = 30.0
    retries: int = Field(default=2, ge=0, le=10)
    max_images: int = Field(default=8, ge=0, le=64)
    image_size: int = Field(default=512, ge=64, le=2048)
    detail: Literal["auto", "low", "high"] = "auto"
    prompt_tokens: int = Field(default=4000, ge=500, le=200_000)
    max_tokens: int = Field(default=400, ge=16, le=32_000)
    temperature: float | None = Field(default=0.2, ge=0, le=2)
    requests_per_hour: int | None = Field(default=120, ge=1)
    images_per_hour: int | None = Field(default=600, ge=1)
    cameras: list[str] | None = None
    plain_http: bool = False
    fallback: bool = True

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        value = web_address(value, "https://api.openai.com/v1 or http://127.0.0.1:11434/v1")
        return value if urlsplit(value).path.strip("/") else f"{value}/v1"

    @model_validator(mode="after")
    def _trusted(self) -> OpenAISettings:
        if self.api_key_file is not None and self.api_key_env is not None:
            raise ValueError("api_key_file and api_key_env are both given; keep one")
        parts = urlsplit(self.base_url)
        if parts.scheme.lower() == "http" and not self.plain_http:
            host = parts.hostname or ""
            try:
                private = is_private(host)
            except ValueError:
                private = _PRIVATE_NAME.fullmatch(host) is not None
            if not private:
                raise ValueError(
                    f"base_url would send pictures and words unencrypted to {host}, which is not on a private network; "
                    "use https, or say plain_http: true if the way there is safe"
                )
        return self

    def options(self, folder: Path = Path()) -> RemoteOptions:
        """What the client takes; paths count from `folder`, the settings file's. Raises ConfigError."""
        if importlib.util.find_spec("openai") is None:
            raise ConfigError(
                'llm.engine: openai needs a package that is not installed; run: pip install "llama-vid-live[remote]"'
            )
        key = None
        if self.api_key_file is not None:
            key = read_secret(folder / self.api_key_file.expanduser(), "llm.openai.api_key_file")
        elif self.api_key_env is not None:
            key = os.environ.get(self.api_key_env, "").strip()
            if not key:
                raise ConfigError(
                    f"llm.openai.api_key_env: the environment has no {self.api_key_env}; set it, or use api_key_file"
                )
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError("llm.openai: the key holds letters that no key has; copy it again, in one line")
        ca = trusted_certificates(self.ca, folder, "llm.openai.ca")
        return RemoteOptions(
            self.base_url, self.model, key,
            connect_s=self.connect_timeout, first_s=self.timeout, token_s=self.token_timeout, retries=self.retries,
            max_images=self.max_images, image_side=self.image_size, detail=self.detail,
            prompt_tokens=self.prompt_tokens, max_tokens=self.max_tokens, temperature=self.temperature,
            requests_per_hour=self.requests_per_hour, images_per_hour=self.images_per_hour, fallback=self.fallback,
            ca=ca,
            cameras=None if self.cameras is None else frozenset(self.cameras),
        )  # fmt: skip


class LlmSettings(Section):
    """`engine` says which of the parts is used; `local` is the bundle's own language model and needs none."""

    engine: Literal["local", "openai", "vllm"] = "local"
    openai: OpenAISettings | None = None
    vllm: VllmSettings | None = None

    @model_validator(mode="after")
    def _told(self) -> LlmSettings:
        if self.engine == "openai" and self.openai is None:
            raise ValueError("engine: openai needs a section llm.openai with base_url and model")
        if self.engine == "vllm" and self.vllm is None:
            raise ValueError("engine: vllm needs a section llm.vllm with base_url")
        return self

    def remote(self, folder: Path = Path()) -> RemoteOptions | None:
        """The options of the server that is to be asked; None where `engine` is not openai. Raises ConfigError."""
        return self.openai.options(folder) if self.engine == "openai" and self.openai is not None else None

    def server(self, folder: Path = Path()) -> VllmOptions | None:
        """The vLLM server that runs the language model; None where `engine` is not vllm. Raises ConfigError."""
        return self.vllm.options(folder) if self.engine == "vllm" and self.vllm is not None else None
