"""What answers are worth at a number of tokens: shares of yes/no questions, measured now or out of a results.json."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from evaluation.run import data_folder
from llama_vid.bundle import Bundle
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from evaluation.model import VideoModel

logger = logging.getLogger(__name__)

ROUTES: Final = ("all", "tokens")
NOT_ASKED: Final = "not asked: no clips here"

#: By this table's name, the evaluation's, and the route.
MEASURED: Final = (("ours", "llama-vid", "all"), ("ours", "llama-vid", "tokens"), ("full", "full", "tokens"))

#: Shares answered right, by system and route.
Shares = dict[str, dict[str, float]]


def read_results(path: Path) -> tuple[Shares, str]:
    """Shares of yes/no questions answered right, by system and route, out of an evaluation's results.json.

    Raises ConfigError for a file that cannot be read or holds none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{path} cannot be read ({problem}); give the results.json of: llama-vid eval all") from None
    right: Shares = {}
    numbers = set[int]()
    for result in _results_in(found):
        if result.get("name") == "yesno":
            route = str(result.get("route", "all"))
            numbers.add(int(result.get("n", 0)))
            for system, share in _shares(result).items():
                right.setdefault(system, {})[route] = share
    if not right:
        raise ConfigError(f"{path} holds no yes/no figures; give the results.json of: llama-vid eval all")
    return right, f"{max(numbers)} questions, from {path.name}"


def _results_in(found: object) -> Iterator[dict[str, Any]]:
    """Every object with a name, however deep it lies."""
    if isinstance(found, dict):
        if "name" in found:
            yield found
        for value in found.values():
            yield from _results_in(value)
    elif isinstance(found, list):
        for value in found:
            yield from _results_in(value)


def _shares(result: Mapping[str, Any]) -> dict[str, float]:
    """Accuracies of a yes/no result by the names of this table."""
    shares = {"ours": result.get("accuracy"), "full": result.get("baselines", {}).get("full", {}).get("accuracy")}
    return {system: float(share) for system, share in shares.items() if share is not None}


def asked(bundle: Bundle, limit: int) -> tuple[Shares, str]:
    """Yes/no questions about the clips, where there are clips: ours on both routes, `full` where the bundle has it."""
    data = data_folder()
    if data is None or not (data / "clips").is_dir():
        return {}, NOT_ASKED
    from evaluation.run import Options, evaluate
    from llama_vid.model import LLaMAVID

    model = cast("VideoModel", LLaMAVID(bundle))
    right: Shares = {}
    for name, system, route in MEASURED:
        options = Options(name="yesno", folder=data / "clips", route=route, system=system, limit=limit)
        try:
            result = evaluate(model, options, data / "clips", lambda: None).to_json()
        except ConfigError as problem:  # a bundle without the baseline
            logger.warning("%s", problem)
            continue
        right.setdefault(name, {})[route] = float(result["accuracy"])
    return right, f"{limit} questions, spread evenly over the clips"
