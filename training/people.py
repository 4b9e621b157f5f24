"""The people probe (`tokenizer/people.py`): who is in a photo, taught by what its captions name, into a bundle.

    python -m training.people [FOLDER] [--bundle BUNDLE]

FOLDER is Flickr8k with photos and `captions.tsv` (default: in the data folder); only its training split is read. A
photo of which three captions name people shows some; one whose captions name nobody shows none. Beside whole photos
there are mosaics of nine small ones, of which each cell's truth is known: people far away look like that. Two minutes
of features and four of training on two cores. A tenth is held out, for the odds' scale and the figures printed.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.bundle import PEOPLE, find_bundle, load_bundle
from llama_vid.errors import ConfigError
from llama_vid.tokenizer.people import PeopleProbe
from llama_vid.tokenizer.tower import ImageTower
from training.bundle_part import put_part
from training.flickr8k import data_folder, read_captions

WITH, MOSAICS, CELL, ACROSS = 1600, 900, 88, 3
#: Shares of a mosaic's cells that show people: mostly few, so that they are found alone.
SHARES: Final = (0.0, 0.1, 0.3, 0.6)
INNER, EPOCHS, RATE, DECAY, DROPPED = 32, 12, 2e-3, 0.1, 0.3
PHOTOS_A_BATCH, MOSAICS_A_BATCH, ENCODED = 64, 24, 16
HELD_OUT: Final = 10  # every tenth
CLEARLY: Final = 3  # captions that name people
NAMED: Final = re.compile(
    r"\b(?:m[ae]n|wom[ae]n|boys?|girls?|child|children|kids?|persons?|people|bab(?:y|ies)|toddlers?|lad(?:y|ies)|guys?"
    r"|players?|\w*riders?|skiers?|surfers?|\w*boarders?|bikers?|\w*cyclists?|climbers?|hikers?|swimmers?|runners?|crowd"
    r"|couple|family|team|adults?|teen\w*|youths?|some(?:one|body)|performers?|dancers?|musicians?|singers?|soldiers?"
    r"|workers?|friends?|group|individuals?|humans?|hands?|s?he|his|her|they|divers?|skaters?|wrestlers?|gymnasts?"
    r"|athletes?|cowboys?|referee|spectators?|fans|drivers?|pedestrians?|tourists?|bride|mother|father|son|daughter"
    r"|brother|sister|joggers?|fisherman|tennis|soccer|football|basketball|owner|female|male)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Examples:
    """Patch features (N, P, C) of photos with their truth (N,), and of mosaics (M, P, C) with their cells' (M, 9)."""

    photos: Tensor
    people: Tensor
    mosaics: Tensor
    cells: Tensor

    def part(self, held_out: bool) -> Examples:
        """The tenth that is held out, or the rest."""
        photo = (torch.arange(len(self.people)) % HELD_OUT == 0) == held_out
        mosaic = (torch.arange(len(self.cells)) % HELD_OUT == 0) == held_out
        return Examples(self.photos[photo], self.people[photo], self.mosaics[mosaic], self.cells[mosaic])


def sorted_photos(folder: Path) -> tuple[list[Path], list[Path]]:
    """Training photos with people and without. Raises ConfigError."""
    captions: dict[str, list[str]] = {}
    for caption in read_captions(folder):
        if caption.split == "train":
            captions.setdefault(caption.image, []).append(caption.text)
    named = {image: sum(NAMED.search(text) is not None for text in texts) for image, texts in captions.items()}
    some, none = (
        [folder / "photos" / n for n, c in named.items() if keep(c)] for keep in (lambda c: c >= 3, lambda c: not c)
    )
    if len(some) < 2 or len(none) < 2:
        raise ConfigError(f"{folder} has too few training photos with people ({len(some)}) or without ({len(none)})")
    return some, none


def examples(tower: ImageTower, folder: Path, *, seed: int = 0, mosaics: int = MOSAICS) -> Examples:
    """Encode what the probe learns from. Raises ConfigError."""
    rng = random.Random(seed)
    some, none = sorted_photos(folder)
    chosen = [(path, 1.0) for path in rng.sample(some, min(WITH, len(some)))] + [(path, 0.0) for path in none]
    rng.shuffle(chosen)
    truth = []
    for _ in range(mosaics):
        share = rng.choice(SHARES)
        truth.append([float(rng.random() < share) for _ in range(ACROSS**2)])
    made = [_mosaic([rng.choice(some if one else none) for one in row]) for row in truth]
    return Examples(
        _encoded(tower, [np.asarray(Image.open(path).convert("RGB")) for path, _ in chosen]),
        torch.tensor([one for _, one in chosen]),
        _encoded(tower, made),
        torch.tensor(truth),
    )


def _mosaic(paths: Sequence[Path]) -> np.ndarray:
    cells = [np.asarray(Image.open(path).convert("RGB").resize((CELL, CELL))) for path in paths]
    return np.concatenate([np.concatenate(cells[at : at + ACROSS], 1) for at in range(0, len(cells), ACROSS)], 0)


def _encoded(tower: ImageTower, images: Sequence[np.ndarray]) -> Tensor:
    with torch.no_grad():
        parts = [tower.encode(images[at : at + ENCODED]).patches.half().cpu() for at in range(0, len(images), ENCODED)]
    return torch.cat(parts)


def cells_of(each: Tensor) -> Tensor:
    """The soft maximum of every cell (B, 9) of a mosaic's patches (B, P)."""
    side = round(each.shape[1] ** 0.5)
    grid = each.view(-1, ACROSS, side // ACROSS, ACROSS, side // ACROSS).transpose(2, 3)
    return PeopleProbe.pooled(grid.reshape(len(each), ACROSS**2, -1))


def trained(net: nn.Module, data: Examples, *, epochs: int = EPOCHS) -> None:
    """Teach a net of patch features (…, C) -> (…, 1), on normalised features."""
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    for _ in range(epochs):
        photos, mosaics = torch.randperm(len(data.people)), torch.randperm(len(data.cells))
        for step, at in enumerate(range(0, len(photos), PHOTOS_A_BATCH)):
            chosen = photos[at : at + PHOTOS_A_BATCH]
            loss = F.binary_cross_entropy_with_logits(
                PeopleProbe.pooled(net(data.photos[chosen].float())[..., 0]), data.people[chosen]
            )
            begin = step * MOSAICS_A_BATCH % max(1, len(mosaics))
            if len(chosen := mosaics[begin : begin + MOSAICS_A_BATCH]):
                said = cells_of(net(data.mosaics[chosen].float())[..., 0])
                loss = loss + F.binary_cross_entropy_with_logits(said, data.cells[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    net.eval()


def probe_of(data: Examples, *, epochs: int = EPOCHS, seed: int = 0) -> dict[str, Tensor]:
    """The probe's tensors: half a linear one and one with a layer between, on a common scale."""
    fit, held = data.part(held_out=False), data.part(held_out=True)
    mean, deviation = fit.photos.float().mean((0, 1)), fit.photos.float().std((0, 1)).clamp(min=1e-3)
    scaled = Examples((fit.photos - mean) / deviation, fit.people, (fit.mosaics - mean) / deviation, fit.cells)
    torch.manual_seed(seed)
    width = fit.photos.shape[2]
    line, first, last = nn.Linear(width, 1), nn.Linear(width, INNER), nn.Linear(INNER, 1)
    trained(line, scaled, epochs=epochs)
    trained(nn.Sequential(nn.Dropout(DROPPED), first, nn.GELU(), nn.Dropout(DROPPED), last), scaled, epochs=epochs)
    weight = line.weight[0] / deviation / 2
    inner = first.weight / deviation
    tensors = {
        "linear": weight,
        "linear_bias": line.bias[0] / 2 - mean @ weight,
        "inner": inner,
        "inner_bias": first.bias - inner @ mean,
        "outer": last.weight[0],
        "outer_bias": last.bias[0],
        "scale": torch.ones(()),
        "shift": torch.zeros(()),
    }
    tensors = {key: value.detach().clone() for key, value in tensors.items()}
    tensors["scale"], tensors["shift"] = _fitted(PeopleProbe(tensors), held)
    return {key: value.half() if value.ndim == 2 else value.float() for key, value in tensors.items()}


def _fitted(probe: PeopleProbe, held: Examples) -> tuple[Tensor, Tensor]:
    """Scale and shift that make log odds of what was held out."""
    with torch.no_grad():
        photos = PeopleProbe.pooled(probe.each(held.photos))
        cells = cells_of(probe.each(held.mosaics)).flatten()
    said, truth = torch.cat([photos, cells]), torch.cat([held.people, held.cells.flatten()])
    line = torch.tensor([1.0, 0.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(said * line[0] + line[1], truth)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    for name, odds, true in (("photos", photos, held.people), ("cells", cells, held.cells.flatten())):
        right = ((odds * line[0] + line[1] > 0) == (true > 0.5)).float().mean()
        print(f"held out, {name}: {float(right):.3f} right of {len(true)}")
    return line[0].detach().clone(), line[1].detach().clone()


def main() -> None:
    """Encode, train, write, and say how well what was held out is told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--bundle", default="mini")
    arguments = parser.parse_args()
    folder = arguments.folder or data_folder() / "flickr8k"
    place = find_bundle(arguments.bundle)
    put_part(probe_of(examples(load_bundle(arguments.bundle).tower, folder)), place, PEOPLE)
    print(f"{place / PEOPLE}: {(place / PEOPLE).stat().st_size} bytes")


if __name__ == "__main__":
    main()
