"""Where a webhook goes and what it is signed with, as the delivery takes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from llama_vid.errors import ConfigError
from llama_vid.memory.outbox import Outgoing


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Where to, signed with what, and which alerts; `cameras` and `rules` None: all. The URL may hold secrets, too."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    cameras: frozenset[str] | None = None
    rules: frozenset[str] | None = None

    @property
    def channel(self) -> str:
        """The outbox's name for it."""
        return f"webhook:{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    @property
    def host(self) -> str:
        """What may be said of the URL."""
        return urlsplit(self.url).hostname or ""

    def wants(self, out: Outgoing) -> bool:
        """Whether a change is for it."""
        event = out.change.event
        pairs = ((event.camera, self.cameras), (event.rule, self.rules))
        return all(wanted is None or name in wanted for name, wanted in pairs)


def signing_key(text: str) -> bytes:
    """The key that a secret's text means: base64 after `whsec_`, else its letters. Raises ConfigError."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigError("webhooks.secret_file: what follows whsec_ is not base64; make the secret anew")
    return key
