"""`token create|list|revoke`: who may come in, kept as hashes in the server's tokens file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from llama_vid.access import SCOPES, Scope
from llama_vid.commands.live import DEFAULT_CONFIG
from llama_vid.commands.terminal import Json, write_json
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from llama_vid.access_tokens import Token

app = typer.Typer(help="Who may come in: tokens with scopes and cameras.", no_args_is_help=True)

File = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="TOKENS", help="The tokens file, instead of the configured one.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help=f"The configuration; by default {DEFAULT_CONFIG} if it is here."
    ),
]
DEFAULT_SCOPES: Final = ["watch,ask"]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, such as kitchen-tablet.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="watch, ask, admin; several by commas or repeated. By default watch,ask."),
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option("--camera", help="Only for these cameras; by default for all, future ones too.")
    ] = None,
    days: Annotated[float | None, typer.Option("--days", help="How long it is good; by default for ever.")] = None,
    config: Config = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a token. It is printed this once and kept nowhere: only its hash is in the file."""
    from llama_vid.access_tokens import create_token

    path = _tokens_file(config, file)
    made = create_token(path, name, _scopes(scope or DEFAULT_SCOPES), _split(camera) if camera else None, days)
    if as_json:
        write_json(_plain(made.token) | {"token": made.secret, "file": str(path)})
        return
    print(made.secret)
    typer.echo(f"{_line(made.token)}; it is not shown again. A running server knows it already.", err=True)


@app.command("list")
def list_tokens(config: Config = None, file: File = None, as_json: Json = False) -> None:
    """Show the tokens: whose, for what, until when. The tokens themselves are not kept."""
    from llama_vid.access_tokens import read_tokens

    path = _tokens_file(config, file)
    tokens = read_tokens(path)
    if as_json:
        write_json({"file": str(path), "tokens": [_plain(token) for token in tokens]})
        return
    for token in tokens:
        print(f"{token.id}  {_line(token)}")
    if not tokens:
        print(f"{path} has no token; make one: llama-vid token create NAME")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token's name or id.")],
    config: Config = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Take a token back. A running server refuses it at once, and closes what it has open within a second."""
    from llama_vid.access_tokens import revoke_token

    gone = revoke_token(_tokens_file(config, file), name)
    if as_json:
        write_json({"revoked": gone.name, "id": gone.id})
    else:
        print(f"revoked {gone.name}")


def _tokens_file(config: Path | None, file: Path | None) -> Path:
    if file is not None:
        return file
    from llama_vid.config import load_config

    if config is None and DEFAULT_CONFIG.is_file():
        config = DEFAULT_CONFIG
    path = load_config(config).server.tokens_file
    if path is None:
        where = config if config is not None else "there is no llama-vid.yaml here, and the environment"
        raise ConfigError(f"{where} names no tokens file; add 'server: {{tokens_file: tokens.json}}', or give --file")
    return path


def _split(values: list[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _scopes(values: list[str]) -> list[Scope]:
    wanted = _split(values)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ConfigError(f"there is no scope {(unknown or [''])[0]!r}; there are: {', '.join(SCOPES)}")
    return cast(list[Scope], wanted)


def _plain(token: Token) -> dict[str, Any]:
    """A token as JSON, without its hash. `cameras` null: all; `expires` null: never."""
    return token.model_dump(mode="json", exclude={"sha256"})


def _line(token: Token) -> str:
    cameras = "all cameras" if token.cameras is None else ", ".join(token.cameras)
    until = ""
    if token.expires is not None:
        over = token.expires <= datetime.now(UTC)
        until = f"; {'expired' if over else 'until'} {token.expires:%Y-%m-%d %H:%M} UTC"
    return f"{token.name}: {', '.join(token.scopes)}; {cameras}{until}"
