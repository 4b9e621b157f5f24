"""Training recipes: YAML files, one stage each, or a list of recipes that are run one after another.

Every stage may name another image tower and another language model than those of `mini`:

    tower: {name: ViT-B-32, weights: weights/ViT-B-32.safetensors, get: where the file is to be had}
    language: {folder: weights/Llama-3.2-1B, get: where the folder is to be had}

and the data sets whose photos it trains on: `data: [{path: annotations/captions_train2017.json}]`.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from llama_vid.errors import ConfigError
from training.data.spec import DatasetSpec

RECIPES: Final = Path(__file__).parent / "recipes"
MINI: Final = "mini"
Share = Annotated[float, Field(ge=0, le=1)]


class Tower(BaseModel):
    """An open_clip model by name, its local weights file, and (for the error where it is missing) where to get it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    weights: Path
    get: str = ""


class LlamaShape(BaseModel):
    """A Llama's shape: `inner` is the width of its MLPs, `groups` its key-value heads, `words` its vocabulary; `tied`
    says that the embeddings score the next token, too; `head_width` 0 is width / heads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: PositiveInt
    width: PositiveInt
    inner: PositiveInt
    heads: PositiveInt
    groups: PositiveInt
    words: PositiveInt
    tied: bool = False
    head_width: Annotated[int, Field(ge=0)] = 0


class Language(BaseModel):
    """A local folder of a Llama-family model as transformers saves it, and where to get it.

    `shape` lets a plan be made before the folder is there; a folder of another shape is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    get: str = ""
    shape: LlamaShape | None = None


class Stage(BaseModel):
    """What all stages share: `out` takes checkpoints, logs and plots, `cache` the features; both may be relative to
    the folder that the command runs in. `tower` and `language` are the frozen parts that the bundle is trained for,
    `data` the data sets whose captioned photos take the place of Flickr8k's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Path = Path("runs")
    cache: Path = Path(".cache/features")
    tower: Literal["mini"] | Tower = "mini"
    language: Literal["mini"] | Language = "mini"
    data: list[DatasetSpec] = []


class Prepare(Stage):
    """Features of all photos (`views` of each training photo), text states, ImageNet classes."""

    stage: Literal["prepare"]
    views: Annotated[int, Field(ge=4)] = 4
    seed: int = 0


class Head(Stage):
    """Stage 0: members of the image-text head, one a seed."""

    stage: Literal["head"]
    seeds: Annotated[list[int], Field(min_length=1)]
    epochs: PositiveInt
    batch: PositiveInt
    rate: PositiveFloat
    decay: NonNegativeFloat
    soft: Share
    drop: Share


class Labels(Stage):
    """Which concepts each photo shows, scored by these members of the head; `sure` as in `concept_labels`."""

    stage: Literal["labels"]
    seeds: Annotated[list[int], Field(min_length=1)]
    sure: Share = 0.8


class Render(Stage):
    """Films drawn from the training photos, with exact truth (`training/synthetic/`): features and the compressor's
    decisions of every frame, questions with answers. `icons` is a folder of named icons, `share` of the things are."""

    stage: Literal["render"]
    clips: PositiveInt = 1800
    seed: int = 0
    icons: Path | None = None
    share: Share = 0.5


class Align(Stage):
    """Stages 1 and 2: see `AlignOptions`. `words` random words join the captions' in the training vocabulary.

    `tokens` says what is trained: pairs, or the baseline `full`. `name` is what the run's checkpoint, log and plot are
    called; `init` names an earlier run of the same `out`, or a bundle, whose weights it starts from (null: anew).
    `films` above 0 needs rendered films.
    """

    stage: Literal["align"]
    name: Annotated[str, Field(pattern=r"^[\w-]+$")] = "align"
    seeds: Annotated[list[int], Field(min_length=1)]
    seconds: NonNegativeFloat
    warm_seconds: NonNegativeFloat
    rows: PositiveInt
    length: Annotated[int, Field(ge=64)]
    rank: PositiveInt
    compressor_rate: PositiveFloat
    lora_rate: PositiveFloat
    decay: NonNegativeFloat = 0.02
    seed: int = 0
    checkpoint_seconds: PositiveFloat = 240
    warm_rate: PositiveFloat = 8e-4
    warm_batch: PositiveInt = 128
    clips_first: Share = 0.15
    clips_last: Share = 0.45
    recalled: Share = 0.25
    films: Share = 0.0
    most_frames: Annotated[int, Field(ge=0)] = 0
    tokens: Literal["pair", "full"] = "pair"
    init: str | None = None
    guided: Share = 0.2
    report_steps: PositiveInt = 20
    compiled: bool = True
    words: Annotated[int, Field(ge=0)] = 2500


class Export(Stage):
    """The bundle in the folder `bundle`, of the run named `run`, with the baseline of the run `full` if that is there.

    `average_with` names the run (or bundle) that `run` started from: the weights that go into the bundle are then an
    average, of which `share` is that one's (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903).
    `card` is a model card to put in, null keeps the one that is there."""

    stage: Literal["export"]
    run: str = "align"
    average_with: str | None = None
    share: Share = 0.2
    seeds: Annotated[list[int], Field(min_length=1)]
    bundle: Path
    photos: Annotated[int, Field(ge=2)] = 384
    captioned: Annotated[int, Field(ge=0)] = 128
    calibration: dict[str, float] | None = None
    card: Path | None = None


class Sequence(Stage):
    """Recipes by name or path, in order; what all stages share is replaced where this file names its own, and the keys
    of one of them by those under its name in `changes`."""

    stage: Literal["sequence"]
    recipes: Annotated[list[str], Field(min_length=1)]
    changes: dict[str, dict[str, Any]] = {}


Single = Prepare | Head | Labels | Render | Align | Export
Recipe = Single | Sequence
_ADAPTER: Final[TypeAdapter[Recipe]] = TypeAdapter(Annotated[Recipe, Field(discriminator="stage")])


def load_recipe(recipe: str, *, beside: Path | None = None) -> tuple[Path, Recipe]:
    """A recipe's file and contents, by its path or the name of one that comes with the program.

    `beside` is a folder in which names are looked for first. Raises ConfigError with file, line and key.
    """
    path = _find(recipe, beside)
    try:
        tree = YAML(typ="rt").load(path.read_text("utf-8"))
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {problem.problem}") from None
    except (OSError, YAMLError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read as YAML ({problem}); give a recipe's file") from None
    if not isinstance(tree, CommentedMap):
        raise ConfigError(f"{path}:1: a recipe is a list of keys such as 'stage: head'")
    return path, _checked(path, tree)


def parts_of(whole: Sequence, path: Path) -> list[tuple[str, Path, Single]]:
    """The recipes of a list, each with its name and file and the list's own keys put in. Raises ConfigError."""
    if unknown := sorted(whole.changes.keys() - set(whole.recipes)):
        raise ConfigError(f"{path}: changes: {unknown[0]} is not one of this list's recipes")
    return [(name, *_part(name, whole, path)) for name in whole.recipes]


def _part(name: str, whole: Sequence, path: Path) -> tuple[Path, Single]:
    file, part = load_recipe(name, beside=path.parent)
    if isinstance(part, Sequence):
        raise ConfigError(f"{path}: recipes: {name} is a list of recipes itself; name its parts")
    shared = {key: getattr(whole, key) for key in Stage.model_fields if key in whole.model_fields_set}
    if not (changes := whole.changes.get(name)):
        return file, part.model_copy(update=shared)
    merged = part.model_dump(exclude_unset=True) | shared | changes
    found = _checked(path, CommentedMap(merged), at=f"changes.{name}.")
    if isinstance(found, Sequence):
        raise ConfigError(f"{path}: changes.{name}: stage: a list cannot take the place of one stage")
    return file, found


def _checked(path: Path, tree: CommentedMap, *, at: str = "") -> Recipe:
    """The recipe that a tree of keys is; `at` comes before the key in errors. Raises ConfigError."""
    try:
        return _ADAPTER.validate_python({str(key): value for key, value in tree.items()})
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_input=False)
        raise ConfigError("; ".join(dict.fromkeys(_explained(path, tree, error, at) for error in found))) from None


def _find(recipe: str, beside: Path | None) -> Path:
    for path in (Path(recipe), *([beside / f"{recipe}.yaml", beside / recipe] if beside else [])):
        if path.suffix in (".yaml", ".yml") and path.is_file():
            return path
    if (path := RECIPES / f"{recipe}.yaml").is_file():
        return path
    known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    close = difflib.get_close_matches(recipe, known, 1)
    meant = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}; or give a YAML file"
    raise ConfigError(f"there is no recipe {recipe!r}; {meant}")


def _explained(path: Path, tree: CommentedMap, error: Any, at: str = "") -> str:
    """One mistake as file, line, key and what is wrong."""
    place = [str(part) for part in error["loc"]]
    if place and place[0] in ("prepare", "head", "labels", "render", "align", "export", "sequence"):
        place = place[1:]  # the stage, which pydantic puts first
    key = place[0] if place else "stage"
    line = f":{tree.lc.key(key)[0] + 1}" if key in tree and not at else ""
    if key in ("tower", "language"):
        place = [part for part in place if part not in ("Tower", "Language", "literal['mini']")]
    known = {"extra_forbidden": "unknown key", "missing": "this key is missing"}
    what = known.get(error["type"], error["msg"])
    if error["type"] == "extra_forbidden":
        names = sorted(
            {name for model in (Prepare, Head, Labels, Render, Align, Export, Sequence) for name in model.model_fields}
        )
        close = difflib.get_close_matches(key, names, 1)
        what += f" (did you mean {close[0]}?)" if close else ""
    return f"{path}{line}: {at}{'.'.join(place) or key}: {what}"
