"""Reads `llama-vid.yaml`: every mistake is one line that names the file, the line, the key, and what to do."""

from __future__ import annotations

import difflib
import logging
import os
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from llama_vid.access_tokens import read_tokens
from llama_vid.errors import ConfigError
from llama_vid.settings import CameraSettings, Config, ServerSettings, Tls

__all__ = ["CameraSettings", "Config", "ServerSettings", "check_bind", "check_memory", "load_config", "load_section"]

logger = logging.getLogger(__name__)

Loc = Sequence[str | int]
SectionT = TypeVar("SectionT", bound=BaseModel)
#: Nobody writes a longer file by hand; it bounds what a wrong path (a video, say) can cost.
MAX_FILE_BYTES = 1_000_000
#: Values of a file, as often as aliases repeat them: ten nested aliases of ten would be more than a machine can hold.
MAX_VALUES = 100_000
MAX_DEPTH = 64  # of collections in each other: a configuration has five
_CREATE = "llama-vid token create NAME"


def load_config(path: str | Path | None = None) -> Config:
    """The settings of a YAML file with the environment (`LLAMA_VID_…`) laid over it, or the environment's alone.

    Raises ConfigError: the file cannot be read, is not YAML, or says something that is unknown or not allowed.
    """
    if path is None:
        tree, source = CommentedMap(), "environment"
    else:
        tree, source = _read(Path(path)), Path(path).name
    try:
        config = Config(**_plain(tree))
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False)
        raise ConfigError("; ".join(_explain_all(errors, tree, source))) from None
    except SettingsError as problem:
        raise ConfigError(f"environment: {problem}; give that variable as JSON, or set its parts one by one") from None
    config._file = Path(path) if path is not None else None
    return config.model_copy(update={"server": _with_whole_paths(config.server, Path(path).parent if path else Path())})


def load_section(path: str | Path, section: type[SectionT]) -> SectionT:
    """A file that holds one section alone, such as a list of rules. Raises ConfigError as `load_config` does."""
    tree, source = _read(Path(path)), Path(path).name
    try:
        return section(**_plain(tree))
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False)
        raise ConfigError("; ".join(_explain_all(errors, tree, source, section))) from None


def _with_whole_paths(server: ServerSettings, folder: Path) -> ServerSettings:
    def whole(path: Path) -> Path:
        return (folder / os.path.expanduser(path)).absolute()

    changes: dict[str, Any] = {}
    if server.tokens_file is not None:
        changes["tokens_file"] = whole(server.tokens_file)
    if server.tls is not None:
        changes["tls"] = Tls(cert=whole(server.tls.cert), key=whole(server.tls.key))
    return server.model_copy(update=changes)


def check_bind(server: ServerSettings) -> None:
    """Refuses to open the port to other machines while nobody can sign in, or with a certificate that does not load.

    Logs a warning where tokens would travel readable. Raises ConfigError.
    """
    if server.tls is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(server.tls.cert, server.tls.key)
        except OSError as problem:  # SSLError is one
            raise ConfigError(
                f"server.tls: {server.tls.cert} and {server.tls.key} cannot be used ({_first_line(str(problem))}); "
                "give a PEM certificate chain and its unencrypted private key"
            ) from None
    tokens = read_tokens(server.tokens_file) if server.tokens_file is not None and server.tokens_file.exists() else ()
    if server.loopback:
        if server.tokens_file is None and server.hosts:
            logger.warning("server.hosts is set without server.tokens_file: whoever comes by those names may do all")
        elif server.tokens_file is not None and not tokens:
            logger.warning("%s has no token, so nobody can sign in: %s", server.tokens_file, _CREATE)
        return
    if server.tokens_file is None:
        raise ConfigError(
            f"server.host {server.host} is reachable from other machines, and nobody has to sign in; "
            f"set server.tokens_file: tokens.json and make a token ({_CREATE}), "
            f"or set server.host to 127.0.0.1 and use a tunnel (ssh -L {server.port}:127.0.0.1:{server.port} HOST)"
        )
    if all(token.expired() for token in tokens):
        raise ConfigError(
            f"server.host {server.host} is reachable from other machines, and {server.tokens_file} has no token "
            f"that is good; make one: {_CREATE}"
        )
    if server.tls is None:
        logger.warning("server.host %s without server.tls: tokens and pictures travel readable", server.host)


def check_memory(config: Config) -> None:
    """Refuses a memory folder that cannot be written, by trying: nothing stays behind, and no folder is made.

    The server itself would start all the same, and say in `/readyz` that it keeps nothing. Raises ConfigError.
    """
    folder = config.memory_folder
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"may I?")
            file.flush()
    except OSError as problem:
        raise ConfigError(
            f"memory.path: {folder} cannot be written ({problem.strerror}); "
            "make it writable for this user, or set memory.path to another folder"
        ) from None


def _read(path: Path) -> CommentedMap:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path.name}: larger than {MAX_FILE_BYTES} bytes, so not a configuration file")
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read ({problem.strerror}); give an existing file with --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name}: is not UTF-8 text; give a YAML file") from None
    yaml = YAML(typ="rt")
    yaml.max_depth = MAX_DEPTH
    try:
        tree = yaml.load(text)
    except MaxDepthExceededError:
        raise ConfigError(f"{path.name}: nested too deeply; a configuration has five levels") from None
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path.name}{line}: not valid YAML: {_first_line(problem.problem)}") from None
    except (YAMLError, ValueError) as problem:
        raise ConfigError(f"{path.name}: not valid YAML: {_first_line(str(problem))}") from None
    if tree is None:
        return CommentedMap()
    if not isinstance(tree, CommentedMap):
        raise ConfigError(f"{path.name}:1: the file must be sections such as 'server:' and 'cameras:'")
    return tree


def _first_line(text: str | None) -> str:
    return (text or "unreadable").strip().splitlines()[0]


def _plain(tree: CommentedMap) -> dict[str, Any]:
    """The tree as plain dicts and lists, keys as text (`cameras: {1: …}`).

    Raises ConfigError for one that aliases make huge (each counts as often as it is used) or endless.
    """
    left = MAX_VALUES

    def plain(node: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConfigError(f"the file says more than {MAX_VALUES} things, aliases included; make it shorter")
        if isinstance(node, CommentedMap):
            return {str(key): plain(value) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            return [plain(value) for value in node]
        return node

    try:
        return {str(key): plain(value) for key, value in tree.items()}
    except RecursionError:
        raise ConfigError("the file is nested too deeply, or an alias is part of itself; make it flatter") from None


def _walk(loc: Loc, tree: Any) -> tuple[int | None, int]:
    """The line (from 1) of the deepest part of `loc` that the file has, and how many parts it has."""
    line: int | None = None
    node = tree
    for depth, part in enumerate(loc):
        if isinstance(node, CommentedMap):
            key = next((key for key in node if str(key) == str(part)), None)
            if key is None:
                return line, depth
            line = int(node.lc.key(key)[0]) + 1
            node = node[key]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = int(node.lc.item(part)[0]) + 1
            node = node[part]
        else:
            return line, depth
    return line, len(loc)


def _place(loc: Loc, tree: Any, source: str) -> str:
    line, _ = _walk(loc, tree)
    return "environment" if line is None else f"{source}:{line}"


def _explain_all(errors: Sequence[ErrorDetails], tree: Any, source: str, root: type[BaseModel] = Config) -> list[str]:
    """One text for each wrong key, in the order of the file."""
    found: dict[tuple[str | int, ...], tuple[int, str, list[str]]] = {}
    for error in errors:
        # pydantic names the branch of a union in its path ("memory", "context_tokens", "int"); the file does not.
        loc = tuple(part for part in error["loc"] if part not in ("int", "literal['auto']", "constrained-int"))
        line, _ = _walk(loc, tree)
        variable = _variable(loc)
        place = variable if variable else _place(loc, tree, source)
        found.setdefault(loc, (line or 0, place, []))[2].append(_explain(error, loc, root))
    lines = []
    for _, place, (first, *others) in sorted(found.values(), key=lambda item: item[0]):
        lines.append(" or ".join([f"{place}: {first}", *(text.split("': ", 1)[-1] for text in others)]))
    return lines


def _variable(loc: Loc) -> str | None:
    """The environment variable that sets `loc`, when there is one: it wins over the file."""
    for depth in (2, 1):
        name = "LLAMA_VID_" + "_".join(str(part) for part in loc[:depth]).upper()
        for key in os.environ:
            if key.upper() == name:
                return f"environment {key}"
    return None


def _explain(error: ErrorDetails, loc: Loc, root: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        known = _known_keys(loc[:-1], root)
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return f"unknown key '{loc[-1]}'; {hint}"
    if error["type"] == "missing":
        return f"'{name}' is missing; add it"
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"'{name}' must be a section with keys under it: {', '.join(_known_keys(loc, root))}"
    message = error["msg"].removeprefix("Value error, ")
    return f"'{name}': {message[:1].lower() + message[1:]}"


def _known_keys(loc: Loc, root: type[BaseModel]) -> list[str]:
    """The keys that the section at `loc` may have, as they are written in the file."""
    model = root
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            found = _model_in(model.model_fields[part].annotation)
            if found is not None:
                model = found
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found is not None:
            return found
    return None
