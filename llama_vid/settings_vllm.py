"""The `vllm:` part of the `llm:` section: a vLLM server that reads the memory's prompt as embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from llama_vid.clients.mqtt.options import read_secret
from llama_vid.llm.vllm_options import BLOCK_TOKENS, VllmOptions, is_private
from llama_vid.settings_address import trusted_certificates, web_address
from llama_vid.settings_section import Seconds, Section

Wait = Annotated[Seconds, Field(gt=0, le=3600)]


class VllmSettings(Section):
    """A server that was started with `vllm serve FOLDER --enable-prompt-embeds`, on a network that is trusted.

    `model` is the name that it serves the model by (left out: the only one). `connect_timeout` is the time to reach it,
    `timeout` that to the first token, `token_timeout` that between two. With `plain_http` an `http:` address need not
    be a private one. With `fallback` the bundle's own language model is loaded as well and answers while the server
    does not.
    """

    base_url: str
    model: str | None = Field(default=None, min_length=1, max_length=500)
    api_key_file: Path | None = None
    ca: Path | None = None
    timeout: Wait = 60.0
    connect_timeout: Wait = 5.0
    token_timeout: Wait = 15.0
    retries: int = Field(default=2, ge=0, le=10)
    at_once: int = Field(default=8, ge=1, le=256)
    block_tokens: int = Field(default=BLOCK_TOKENS, ge=1, le=1024)
    plain_http: bool = False
    fallback: bool = False

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        return web_address(value, "http://host:8000 or https://host/path").removesuffix("/v1")

    @model_validator(mode="after")
    def _trusted(self) -> VllmSettings:
        parts = urlsplit(self.base_url)
        if parts.scheme.lower() == "http" and not self.plain_http:
            try:
                public = not is_private(parts.hostname or "")
            except ValueError:
                return self  # a name: what it means is looked up, and checked, when it is connected to
            if public:
                raise ValueError(
                    f"base_url would send what cameras saw unencrypted to {parts.hostname}, which is no address of a "
                    "private network; use https, or say plain_http: true if the way there is safe"
                )
        return self

    def options(self, folder: Path = Path()) -> VllmOptions:
        """What the client takes; paths count from `folder`, the settings file's. Raises ConfigError."""
        key = None if self.api_key_file is None else read_secret(folder / self.api_key_file, "llm.vllm.api_key_file")
        ca = trusted_certificates(self.ca, folder, "llm.vllm.ca")
        return VllmOptions(
            self.base_url, self.model, key,
            connect_s=self.connect_timeout, first_s=self.timeout, token_s=self.token_timeout, retries=self.retries,
            at_once=self.at_once, block_tokens=self.block_tokens, plain_http=self.plain_http,
            ca=ca, fallback=self.fallback,
        )  # fmt: skip
