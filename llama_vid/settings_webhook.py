"""The `webhooks:` list of the settings: web addresses that alerts are posted to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from llama_vid.clients.mqtt.options import read_secret
from llama_vid.clients.webhook_options import WebhookOptions, signing_key
from llama_vid.errors import ConfigError
from llama_vid.settings_section import Section

#: Letters of a secret: shorter ones are guessed.
SHORTEST_SECRET = 16


class WebhookSettings(Section):
    """One receiver. The url is a secret as a whole, since many hold a key; `cameras` and `rules` left out: all."""

    url: SecretStr
    secret_file: Path
    cameras: list[str] | None = Field(default=None, min_length=1)
    rules: list[str] | None = Field(default=None, min_length=1)

    @field_validator("url")
    @classmethod
    def _url(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value().strip()
        try:
            parts = urlsplit(url)
            good = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good or any(ord(letter) <= 32 for letter in url):
            raise ValueError("the url of a webhook is no web address; write https://host/path")
        return SecretStr(url)

    def options(self, folder: Path = Path()) -> WebhookOptions:
        """What the delivery takes; `secret_file` counts from `folder`, the settings file's. Raises ConfigError."""
        text = read_secret(folder / self.secret_file, "webhooks.secret_file")
        if len(text) < SHORTEST_SECRET:
            raise ConfigError(
                f"webhooks.secret_file: {folder / self.secret_file} holds a secret of fewer than {SHORTEST_SECRET} "
                "letters; make a longer one, such as `openssl rand -hex 32` prints"
            )
        cameras, rules = (None if names is None else frozenset(names) for names in (self.cameras, self.rules))
        return WebhookOptions(self.url.get_secret_value(), signing_key(text), cameras, rules)


def _unlike(webhooks: list[WebhookSettings]) -> list[WebhookSettings]:
    """The receivers, if no two have the same url. Raises ValueError."""
    urls = [webhook.url.get_secret_value() for webhook in webhooks]
    if len(set(urls)) < len(urls):
        raise ValueError("two webhooks have the same url; give one, with the cameras and rules of both")
    return webhooks


#: The field of the settings.
Webhooks = Annotated[list[WebhookSettings], AfterValidator(_unlike)]
