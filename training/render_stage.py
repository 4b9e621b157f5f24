"""The stage `render`: films drawn from the training photos, as features and the compressor's decisions on disk."""

from __future__ import annotations

import torch

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from training.films import films_folder
from training.prepare import Photographs, locked_tower
from training.recipe import MINI, Render, Tower
from training.starting import Start
from training.synthetic.icons import Icons
from training.synthetic.render import Painter
from training.synthetic.shards import draw_plans, write_shards
from training.towers import check_cache, own_tower


def render(recipe: Render, photos: Photographs) -> dict[str, object]:
    """Draw the films that are missing. Raises ConfigError for a folder of icons that is not there or other films."""
    if recipe.icons is not None and not recipe.icons.is_dir():
        raise ConfigError(
            f"icons: there is no folder {recipe.icons}; unpack a set of named icons there, or leave it out"
        )
    check_cache(recipe.cache, recipe.tower)
    shown = [*(photo.path for photo in photos.train), *photos.unlabelled]
    painter = Painter(Icons(recipe.icons) if recipe.icons else None, share=recipe.share)
    plans = draw_plans(recipe.clips, recipe.seed, len(shown), painter)
    tower = own_tower(recipe.tower) if isinstance(recipe.tower, Tower) else locked_tower()
    compressor = deciding(tower.patches, tower.channels)
    out = films_folder(recipe.cache)
    made = write_shards(out, tower, compressor, shown, plans, painter)
    asked = sum(len(clip.questions) for clip in made.clips)
    return {"clips": len(made.clips), "frames": len(made.features), "questions": asked, "films": str(out)}


def deciding(patches: int, channels: int) -> Compressor:
    """The compressor whose rules say what is held and cut: that of `mini` where it fits, else an untrained one, which
    holds a scene's token by the pictures' change alone."""
    start = Start.of_bundle(MINI)
    if (start.config.patches, start.config.channels) == (patches, channels):
        known = Compressor(start.config)
        known.load_state_dict(start.compressor)
        return known.eval()
    torch.manual_seed(0)
    return Compressor(CompressorConfig(patches=patches, channels=channels)).eval()
