"""How rare words are in captions, counted over Flickr8k's training photos, into a bundle.

    python -m training.rarity [FOLDER] [--bundle BUNDLE]

FOLDER holds `captions.tsv` (default: `flickr8k` in the data folder). Photos are the documents: a word is as rare as few
photos have it in any of their captions. Writes `rarity.safetensors` (hashes and weights, no words) into the bundle's
folder, and its hash into the manifest. See `llm/agreement.py` for what it is for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from torch import Tensor

from llama_vid.bundle import RARITY, find_bundle
from llama_vid.errors import ConfigError
from llama_vid.llm.agreement import Rarity
from training.bundle_part import put_part
from training.flickr8k import data_folder, read_captions

FEWEST: Final = 2  # photos: what one photo alone has is as rare as what none has


def rarity_of(folder: Path, *, fewest: int = FEWEST) -> dict[str, Tensor]:
    """The table of the training split of a Flickr8k folder. Raises ConfigError."""
    photos: dict[str, list[str]] = {}
    for caption in read_captions(folder):
        if caption.split == "train":
            photos.setdefault(caption.image, []).append(caption.text)
    if not photos:
        raise ConfigError(f"{folder / 'captions.tsv'} has no captions of the split 'train'")
    return Rarity.counted(list(photos.values()), fewest=fewest)


def main() -> None:
    """Count, write, and say how large the table is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--bundle", default="mini")
    arguments = parser.parse_args()
    bundle = find_bundle(arguments.bundle)
    table = rarity_of(arguments.folder or data_folder() / "flickr8k")
    put_part(table, bundle, RARITY)
    print(f"{bundle / RARITY}: {len(table['keys'])} entries, {(bundle / RARITY).stat().st_size} bytes")


if __name__ == "__main__":
    main()
