"""How rare words are in captions, counted over Flickr8k's training photos, into a bundle.

    python -m training.rarity [FOLDER] [--bundle BUNDLE]

FOLDER holds `captions.tsv` (default: `flickr8k` in the data folder). Photos are the documents: a word is as rare as few
photos have it in any of their captions. Writes `rarity.safetensors` (hashes and weights, no words) into the bundle's
folder, and its hash into the manifest. See `llm/agreement.py` for what it is for.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Final

from safetensors.torch import save_file
from torch import Tensor

from llama_vid.bundle import MANIFEST, RARITY, find_bundle, read_manifest
from llama_vid.errors import ConfigError
from llama_vid.llm.agreement import Rarity
from llama_vid.tokenizer.parts import sha256_of
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


def write_rarity(table: dict[str, Tensor], bundle: Path) -> None:
    """Put a table into a bundle's folder; the manifest comes last. Raises BundleError if it is no bundle."""
    manifest = read_manifest(bundle)
    fresh = bundle / f".{RARITY}"
    save_file(table, fresh)
    fresh.chmod(0o644)
    manifest["files"] = dict(sorted((manifest["files"] | {RARITY: sha256_of(fresh)}).items()))
    text = bundle / f".{MANIFEST}"
    text.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    os.replace(fresh, bundle / RARITY)
    os.replace(text, bundle / MANIFEST)


def main() -> None:
    """Count, write, and say how large the table is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--bundle", default="mini")
    arguments = parser.parse_args()
    bundle = find_bundle(arguments.bundle)
    table = rarity_of(arguments.folder or data_folder() / "flickr8k")
    write_rarity(table, bundle)
    print(f"{bundle / RARITY}: {len(table['keys'])} entries, {(bundle / RARITY).stat().st_size} bytes")


if __name__ == "__main__":
    main()
