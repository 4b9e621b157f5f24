"""Whose certificates a remote server may show."""

from __future__ import annotations

import ssl

from llama_vid.errors import ConfigError


def trusting(ca: str | None, where: str) -> ssl.SSLContext:
    """Those of the PEM file `ca`, which the setting `where` names, or the system's. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(f"{where}: {ca} holds no certificates ({problem}); name a PEM file") from None
