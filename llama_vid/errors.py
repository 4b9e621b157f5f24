"""The errors of LLaMA-VID Live: one root, one class for each place where something can go wrong.

    LlamaVidError
    ├── SourceError        a video file, camera or stream cannot be opened or read
    │   └── EndOfStream    the source is over (not a failure: how `recv` ends)
    ├── ConfigError        a configuration file, option or rule is wrong
    ├── BundleError        a model bundle is missing, damaged or does not fit
    ├── QuestionError      a question cannot be taken (empty, too long, no such camera)
    └── ProtocolError      a websocket or HTTP peer sent something that the contract does not allow

Every message says what was wrong, where, and what to do about it, in one line and without secrets.
"""

from __future__ import annotations


class LlamaVidError(Exception):
    """Root of all errors that the program raises on purpose."""

    #: The command line's exit status for this error (DESIGN section 4).
    exit_code: int = 1
    #: A stable machine word for the websocket `error.code` field.
    code: str = "internal"


class SourceError(LlamaVidError):
    """A video source cannot be opened or read."""

    code = "source"


class EndOfStream(SourceError):
    """The source has delivered its last frame."""

    code = "end_of_stream"


class ConfigError(LlamaVidError):
    """A configuration file, option or rule is wrong."""

    exit_code = 2
    code = "config"


class BundleError(LlamaVidError):
    """A model bundle is missing, damaged, or does not fit its parts."""

    code = "bundle"


class QuestionError(LlamaVidError):
    """A question cannot be taken."""

    exit_code = 2
    code = "question"


class ProtocolError(LlamaVidError):
    """A peer sent a message that the protocol does not allow."""

    code = "protocol"

    def __init__(self, message: str, *, code: str = "invalid_request", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
