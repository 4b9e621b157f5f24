"""Checks that the sections of remote servers share: their address, and the certificates to trust."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from llama_vid.errors import ConfigError


def web_address(value: str, example: str) -> str:
    """A `base_url` without spaces around it and slashes behind it. Raises ValueError, which shows the `example`."""
    value = value.strip().rstrip("/")
    try:
        parts = urlsplit(value)
        good = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or parts.query or parts.fragment or any(ord(letter) <= 32 for letter in value):
        raise ValueError(f"base_url is no web address; write {example}")
    if parts.username or parts.password:
        raise ValueError("base_url holds a password; put the server's key into a file and name it in api_key_file")
    return value


def trusted_certificates(named: Path | None, folder: Path, where: str) -> str | None:
    """The path of a PEM file that the setting `where` names, from `folder` on. Raises ConfigError if there is none."""
    if named is None:
        return None
    path = folder / named.expanduser()
    if not path.is_file():
        raise ConfigError(f"{where}: there is no file {path}; name a PEM file of the certificates to trust")
    return str(path)
