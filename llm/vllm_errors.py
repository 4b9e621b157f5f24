"""What can go wrong with a vLLM server, and what its refusals mean."""

from __future__ import annotations

import json
from typing import Final

from llama_vid.errors import LlamaVidError

#: Statuses that pass: overloaded, starting, a gateway whose server is away. 500 is an engine that has died.
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Letters of a server's own words that are repeated.
QUOTED: Final = 200


class VllmError(LlamaVidError):
    """A vLLM server refuses what it is asked, or is not what it should be: asking again does not help."""

    code = "engine"


class VllmUnavailable(VllmError):
    """A vLLM server is away, starting, overloaded or cut off: asking again later may help."""

    code = "unavailable"


def refused(where: str, status: int, body: bytes) -> VllmError:
    """The error for an answer of the server at `where` that is no success."""
    said = _message(body)
    if status in PASSING:
        why = "is starting or overloaded" if status in (429, 503) else "failed"
        return VllmUnavailable(f"the vLLM server at {where} {why} (HTTP {status}{_quoted(said)}); ask again later")
    if status in (401, 403):
        return VllmError(f"the vLLM server at {where} refuses our key (HTTP {status}); check llm.vllm.api_key_file")
    if 300 <= status < 400:
        return VllmError(
            f"the server at {where} sends us elsewhere (HTTP {status}), which is not followed; write the last address "
            "into llm.vllm.base_url"
        )
    if status == 404:
        return VllmError(f"the vLLM server at {where} does not know the model or the address{_quoted(said)}")
    if "--enable-prompt-embeds" in said:
        return VllmError(f"the vLLM server at {where} takes no prompt embeddings; start it with --enable-prompt-embeds")
    if "hidden_size" in said or "hidden size" in said:
        return VllmError(
            f"the vLLM server at {where} serves a model of another width{_quoted(said)}; serve the language model of "
            "this bundle: llama-vid models export"
        )
    if "context length" in said or "max_model_len" in said or "maximum model length" in said:
        return VllmError(
            f"the prompt is too long for the vLLM server at {where}{_quoted(said)}; raise its --max-model-len, "
            "or lower memory.context_tokens"
        )
    return VllmError(f"the vLLM server at {where} refuses the request (HTTP {status}{_quoted(said)})")


def _message(body: bytes) -> str:
    """The server's own words: `{"error": {"message": …}}`, `{"message": …}` of older ones, or plain text."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return "" if "<" in text else text
    if isinstance(found, dict):
        inner = found.get("error", found)
        said = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
        return said if isinstance(said, str) else ""
    return ""


def _quoted(said: str) -> str:
    line = " ".join(said.split())
    return f": {line[:QUOTED]}{'…' if len(line) > QUOTED else ''}" if line else ""
