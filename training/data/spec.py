"""Data sets as a recipe names them, and opened for training: nothing that is held out for evaluation comes through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from llama_vid.errors import ConfigError
from training.data.dataset import Dataset, open_dataset
from training.data.example import Summary
from training.data.form import split_of
from training.data.held_out import HeldOut, held_out
from training.data.stream import Mixture, Shard

#: The only split that is trained on; the others are what results are reported on.
TRAIN: Final = "train"


class DatasetSpec(BaseModel):
    """A data set in a recipe.

    `path` is its annotation file or folder, `media` the folder of its photos or videos where they do not lie in one of
    the usual places. `weight` is its share in a mixture, `limit` the most records that are taken, evenly spread.
    `split` is the part to train on: the only one that may be is `train`, so that no benchmark's questions get in; null
    takes a file whose name tells none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    format: Annotated[str, Field(min_length=1)] = "auto"
    media: Path | None = None
    weight: PositiveFloat = 1.0
    split: str | None = TRAIN
    limit: PositiveInt | None = None


def opened_spec(spec: DatasetSpec, withheld: HeldOut) -> Dataset:
    """A recipe's data set, held-out media skipped. Raises ConfigError if nothing in it can be trained on."""
    if spec.split not in (None, TRAIN):
        raise ConfigError(f"{spec.path}: split {spec.split!r} is for evaluation; training reads {TRAIN!r}")
    data = open_dataset(spec.path, spec.format, spec.media, split=spec.split, held_out=withheld)
    if (own := split_of(data.form.path)) not in (None, TRAIN):
        raise ConfigError(f"{data.form.path} is the split {own!r} by its name, which is for evaluation")
    if spec.split is None and data.form.tells_splits:
        raise ConfigError(f"{data.form.path} holds what is for evaluation as well; give the split: {TRAIN}")
    if data.media is None:
        raise ConfigError(f"{spec.path}: no photos or videos were found beside it; give their folder as `media`")
    if not len(data):
        counts = ", ".join(f"{count} × {reason}" for reason, count in data.summary.skipped.items())
        raise ConfigError(
            f"{spec.path} has nothing to train on ({counts or 'it is empty'}); see python -m training.data"
        )
    if spec.limit is not None:
        data.spread(spec.limit)
    return data


def opened_specs(
    specs: Sequence[DatasetSpec],
    data_folder: Path | None,
    *,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> list[Dataset]:
    """All data sets of a recipe. What was recognised, the counts and the first bad records are told, line by line.

    `data_folder` is the one that holds the evaluation data (LLAMA_VID_DATA), None where there is none. Raises
    ConfigError.
    """
    withheld = held_out(data_folder)
    found = []
    for spec in specs:
        data = opened_spec(spec, withheld)
        for line in data.summary.lines():
            tell(f"data: {line}")
        found.append(data)
    return found


def mixed(specs: Sequence[DatasetSpec], data: Sequence[Dataset], seed: int, shard: Shard | None = None) -> Mixture:
    """The opened data sets of a recipe, mixed by their weights. Raises ConfigError."""
    return Mixture(data, [spec.weight for spec in specs], seed, shard)


def report(summaries: Sequence[Summary]) -> dict[str, Any]:
    """For the training report: each data set's summary, and the skipped records of all by reason."""
    skipped: dict[str, int] = {}
    for summary in summaries:
        for reason, count in summary.skipped.items():
            skipped[str(reason)] = skipped.get(str(reason), 0) + count
    return {"data": [summary.to_json() for summary in summaries], "skipped": skipped}
