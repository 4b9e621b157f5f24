"""Why a remote model did not answer: one clear line for every way in which an OpenAI-compatible server fails.

Nothing that the server says of a key is repeated, since some servers quote it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from llama_vid.errors import LlamaVidError
from llama_vid.llm.questions import sanitize
from llama_vid.llm.remote_options import FailureKind, RemoteOptions

#: Letters of a server's own message that are repeated.
QUOTED: Final = 160
#: Kinds that may be over a moment later: the same request is sent again.
PASSING: Final[frozenset[FailureKind]] = frozenset({"busy", "server", "connect"})
#: Kinds that say nothing against the server: the next question is asked there all the same.
OF_THE_QUESTION: Final[frozenset[FailureKind]] = frozenset({"filter", "empty", "size", "request", "spent", "resting"})
_CONTEXT: Final = ("context length", "context_length", "context size", "context window", "maximum context", "too long")
_QUOTA: Final = ("insufficient_quota", "billing", "credit", "exceeded your current quota")


class RemoteFailure(LlamaVidError):
    """The remote model did not answer, or not to the end; `kind` says why in a word, `retry_after` when it may again.

    `text` is what the server said, for who looks for a reason in it; it is never shown as it is.
    """

    code = "remote"

    def __init__(
        self, message: str, kind: FailureKind, *, status: int = 0, retry_after: float | None = None, text: str = ""
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.retry_after, self.text = kind, status, retry_after, text


def failure_of(problem: Exception, options: RemoteOptions) -> RemoteFailure:
    """What an error of the official client, of its transport or of asyncio means, and what to do about it."""
    import openai

    at = host_of(options)
    if isinstance(problem, openai.APIStatusError):
        return _refused(problem, options, at)
    if isinstance(problem, TimeoutError | asyncio.TimeoutError | openai.APITimeoutError):
        return RemoteFailure(
            f"llm.openai: {at} did not answer in time; see whether it is busy or still loads the model, "
            "or raise llm.openai.timeout",
            "timeout",
        )
    causes = list(_causes(problem))
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        why = next((cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), "")
        return RemoteFailure(
            f"llm.openai: {at} cannot be trusted ({why or 'the TLS handshake failed'}); check base_url, "
            "or name its certificate authority in llm.openai.ca",
            "tls",
        )
    if isinstance(problem, openai.APIConnectionError):
        return RemoteFailure(
            f"llm.openai: {at} cannot be reached; check base_url, the network, and that the server runs", "connect"
        )
    if isinstance(problem, openai.APIError):  # an error sent inside the stream
        said = _quoted(problem.message, options)
        return RemoteFailure(f"llm.openai: {at} stopped in the middle ({said}); ask again", "cut", text=said)
    return RemoteFailure(f"llm.openai: the answer of {at} broke off; check the server and the network", "cut")


def host_of(options: RemoteOptions) -> str:
    """Host and port of the server, for messages."""
    parts = urlsplit(options.base_url)
    host = parts.hostname or "the server"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def _refused(problem: object, options: RemoteOptions, at: str) -> RemoteFailure:
    import openai

    assert isinstance(problem, openai.APIStatusError)
    status = problem.status_code
    raw = f"{problem.message} {problem.code or ''} {problem.type or ''}".lower()
    said = _quoted(problem.message, options)
    wait = _retry_after(problem.response.headers.get("retry-after"))
    if status in (401, 403):
        what = "refuses the key" if options.key else "wants a key"
        return RemoteFailure(
            f"llm.openai: {at} {what} ({status}); put a good one into the file that llm.openai.api_key_file names",
            "key", status=status,
        )  # fmt: skip
    if status == 402 or (status == 429 and any(word in raw for word in _QUOTA)):
        return RemoteFailure(
            f"llm.openai: {at} says that the account is used up ({status}); look at its billing", "quota",
            status=status, retry_after=wait,
        )  # fmt: skip
    if status == 404:
        return RemoteFailure(
            f"llm.openai: {at} has no model {options.model!r} at this address (404); check llm.openai.model and "
            "base_url, or look: llama-vid doctor",
            "model", status=status, text=raw,
        )  # fmt: skip
    if status == 429:
        when = f"; it may be asked again in {wait:.0f} s" if wait is not None else ""
        return RemoteFailure(
            f"llm.openai: {at} takes no more questions just now (429){when}", "busy", status=status, retry_after=wait
        )
    if status >= 500 or status == 408:
        return RemoteFailure(
            f"llm.openai: {at} failed ({status}: {said}); look at its log", "server", status=status, retry_after=wait,
            text=raw,
        )  # fmt: skip
    if any(words in raw for words in _CONTEXT) or status == 413:
        return RemoteFailure(
            f"llm.openai: the question with its pictures is too long for {options.model!r} ({status}); lower "
            "llm.openai.max_images or prompt_tokens",
            "size", status=status, text=raw,
        )  # fmt: skip
    if "content_filter" in raw or "content management policy" in raw:
        return RemoteFailure(f"llm.openai: {at} does not take this question: its content filter", "filter", text=raw)
    return RemoteFailure(
        f"llm.openai: {at} does not take the request ({status}: {said})", "request", status=status, text=raw
    )


def _quoted(message: str, options: RemoteOptions) -> str:
    """A server's message, short, in one line, without the key."""
    text = sanitize(message)
    if options.key:
        text = text.replace(options.key, "…")
    return text if len(text) <= QUOTED else text[:QUOTED] + "…"


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header; a date there is left to our own pauses (RFC 9110, 10.2.3)."""
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 1e6 else None


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = problem.__cause__ or problem.__context__
