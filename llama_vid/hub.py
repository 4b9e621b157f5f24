"""Where a model's name leads: a bundle's name or a folder as they are, a hub id to its copy on this machine.

The published LLaMA-VID checkpoints, by their authors' README (weights CC BY-NC 4.0):

    YanweiLi/llama-vid-7b-full-224-video-fps-1     video, Vicuna-7B, 4,096 tokens: `jia-lab/llama-vid-7b` is this one
    YanweiLi/llama-vid-13b-full-224-video-fps-1    video, Vicuna-13B
    YanweiLi/llama-vid-7b-full-224-long-video      hour-long video, Vicuna-7B, 65,536 tokens
    YanweiLi/llama-vid-7b-full-224, …-7b-full-336, …-13b-full-336      photos
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llama_vid.errors import BundleError

ALIASES: Final[Mapping[str, str]] = {"jia-lab/llama-vid-7b": "YanweiLi/llama-vid-7b-full-224-video-fps-1"}
#: What is fetched of a repository: no optimiser's state, no pictures.
WANTED: Final = ("*.json", "*.safetensors", "pytorch_model*.bin", "*.pth", "tokenizer.model", "*.md")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def hub_id(name: str) -> str | None:
    """The hub id that a name means, its alias resolved; None for a bundle's name or a folder."""
    if name in ALIASES:
        return ALIASES[name]
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None


def fetched_config(name: str) -> Path:
    """The config.json of a hub id: of its copy, else fetched now, without the weights. Raises BundleError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(hub_id(name) or name, "config.json"))
    except (HfHubHTTPError, HFValidationError, OSError) as problem:
        raise BundleError(
            f"the config.json of {name} cannot be fetched ({type(problem).__name__}); fetch it on a machine that "
            "reaches the hub, and give its folder"
        ) from None


def fetched(name: str) -> str:
    """The name, or for a hub id the folder of its copy, fetched now if it is not here.

    Raises BundleError if the hub cannot be reached and there is no copy, or has no such model.
    """
    repository = hub_id(name)
    if repository is None:
        return name
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(repository, allow_patterns=list(WANTED))
    except LocalEntryNotFoundError:  # also one of the hub's answers, by its type: first
        why = "the hub cannot be reached, and there is no copy of it here"
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        known = {401: "there is no such model, or it is private", 404: "there is no such model"}
        why = known.get(status, f"the hub answered with status {status}")
    except (HFValidationError, httpx.HTTPError, OSError) as problem:
        why = f"the hub cannot be reached ({type(problem).__name__})"
    raise BundleError(
        f"there is no folder {name!r}, and {repository} cannot be fetched: {why}. On a machine that reaches the hub "
        f"run: hf download {repository} --local-dir FOLDER; then give that folder as the model's name"
    )
