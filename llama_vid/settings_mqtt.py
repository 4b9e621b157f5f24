"""The `mqtt:` section of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from llama_vid.clients.mqtt.options import MqttOptions, check_topic, read_secret, tls_context
from llama_vid.settings_section import Section

#: Where brokers listen for TLS.
TLS_PORT = 8883


class MqttTls(Section):
    """TLS to the broker: `ca` to trust (else the system's), this program's certificate with its key, PEM files.

    `insecure` checks neither the broker's certificate nor its name.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            there, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise ValueError(f"{there} is given without {missing}; a client certificate needs both")
        if self.insecure and self.ca is not None:
            raise ValueError("insecure checks nothing, so that ca has no use; leave one of them out")
        return self


class MqttSettings(Section):
    """The broker that alerts go to. `tls: true`: what the system trusts. The port is 1883, with TLS 8883."""

    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    base_topic: str = "llama_vid"
    discovery_prefix: str = "homeassistant"
    tls: MqttTls | None = None

    @model_validator(mode="before")
    @classmethod
    def _tls(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("tls") in (None, False):
            return {key: item for key, item in value.items() if key != "tls"} if isinstance(value, dict) else value
        tls = {} if value["tls"] is True else value["tls"]
        return {"port": TLS_PORT} | value | {"tls": tls}

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        value = value.strip()
        if not value or "/" in value or any(ord(letter) <= 32 for letter in value):
            raise ValueError("host is no host name; write localhost, broker.lan or an address, without a scheme")
        return value

    @field_validator("base_topic", "discovery_prefix")
    @classmethod
    def _topic(cls, value: str, info: Any) -> str:
        return check_topic(value, info.field_name)

    @model_validator(mode="after")
    def _user(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file is given without username; a broker takes both or none")
        return self

    def options(self, folder: Path = Path()) -> MqttOptions:
        """What the bridge takes; paths count from `folder`, the settings file's. Raises ConfigError."""
        password = (
            None if self.password_file is None else read_secret(folder / self.password_file, "mqtt.password_file")
        )
        context = None
        if self.tls is not None:
            ca, cert, key = (
                None if path is None else folder / path for path in (self.tls.ca, self.tls.cert, self.tls.key)
            )
            context = tls_context(ca, cert, key, insecure=self.tls.insecure)
        return MqttOptions(
            self.host, self.port, self.username, password, context, self.base_topic, self.discovery_prefix
        )
