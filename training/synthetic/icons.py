"""Named pictures of things from a folder of icons, for instance Microsoft's Fluent emoji in 3D.

A file is named by its thing (`red-car.png`) or, as emoji sets are, by its Unicode code point (`26bd.webp`); of the
latter only those whose thing is listed here are taken. Sets that fit: npm `@lobehub/fluent-emoji-3d` (MIT).
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from llama_vid.errors import ConfigError, SourceError
from training.synthetic.sprites import SIDE, Sprite
from training.synthetic.truth import Thing

SUFFIXES: Final = (".png", ".webp")

#: Code point and name of emoji that show one thing; faces, signs, hands and flags of countries are left out.
EMOJI: Final = dict(
    line.split(" ", 1)
    for line in """
1f697 red car|1f699 blue car|1f695 taxi|1f68c bus|1f68e trolleybus|1f693 police car|1f691 ambulance|1f692 fire engine
1f69a delivery truck|1f69b lorry|1f69c tractor|1f3ce racing car|1f3cd motorcycle|1f6b2 bicycle|1f6f4 scooter
1f682 locomotive|1f686 train|1f681 helicopter|2708 airplane|1f680 rocket|1f6f8 flying saucer|26f5 sailing boat
1f6a2 ship|1f6f6 canoe|1f415 dog|1f429 poodle|1f408 cat|1f405 tiger|1f406 leopard|1f40e horse|1f993 zebra|1f98c deer
1f402 ox|1f404 cow|1f416 pig|1f40f ram|1f411 sheep|1f410 goat|1f42a camel|1f992 giraffe|1f418 elephant
1f98f rhinoceros|1f99b hippopotamus|1f401 mouse|1f407 rabbit|1f43f squirrel|1f994 hedgehog|1f987 bat|1f998 kangaroo
1f9a1 badger|1f983 turkey|1f414 chicken|1f413 rooster|1f426 bird|1f427 penguin|1f54a dove|1f985 eagle|1f986 duck
1f9a2 swan|1f989 owl|1f9a9 flamingo|1f99a peacock|1f99c parrot|1f438 frog|1f40a crocodile|1f422 turtle|1f98e lizard
1f40d snake|1f996 dinosaur|1f433 whale|1f42c dolphin|1f41f fish|1f420 tropical fish|1f419 octopus|1f988 shark
1f40c snail|1f98b butterfly|1f41b caterpillar|1f41c ant|1f41d bee|1f41e ladybird|1f577 spider|1f982 scorpion
1f980 crab|1f99e lobster|1f338 pink flower|1f339 rose|1f33b sunflower|1f337 tulip|1f332 fir tree|1f333 tree
1f334 palm tree|1f335 cactus|1f344 mushroom|1f347 bunch of grapes|1f349 watermelon|1f34a orange|1f34b lemon
1f34c banana|1f34d pineapple|1f34e red apple|1f34f green apple|1f350 pear|1f351 peach|1f352 pair of cherries
1f353 strawberry|1f345 tomato|1f951 avocado|1f346 aubergine|1f955 carrot|1f33d cob of corn|1f966 broccoli
1f35e loaf of bread|1f950 croissant|1f968 pretzel|1f9c0 piece of cheese|1f354 hamburger|1f355 slice of pizza
1f32d hot dog|1f32e taco|1f366 ice cream|1f369 doughnut|1f36a cookie|1f382 birthday cake|1f37a mug of beer
1f377 glass of wine|2615 cup of coffee|1f37c baby bottle|26bd football|1f3c0 basketball|1f3c8 american football
26be baseball|1f3be tennis ball|1f3d0 volleyball|1f3b1 billiard ball|1f3b3 bowling ball|1f3f8 badminton racket
1f94a boxing glove|1f3bf pair of skis|1f6f9 skateboard|1f3a3 fishing rod|1f3c6 trophy|1f3af dartboard|1f3b2 die
1f9f8 teddy bear|1f388 balloon|1f381 present|1f384 christmas tree|1f383 pumpkin|26c4 snowman|1f3b8 guitar
1f3ba trumpet|1f3bb violin|1f941 drum|1f3b9 piano keyboard|1f4f1 mobile phone|1f4bb laptop|1f4f7 camera
1f4fa television|1f4fb radio|231a watch|23f0 alarm clock|1f4a1 light bulb|1f526 torch|1f4d6 open book|2709 envelope
1f4e6 cardboard box|1f511 key|1f528 hammer|1fa93 axe|2702 pair of scissors|1f9f2 magnet|1f9f0 toolbox|1fa9c ladder
1f6aa door|1fa91 chair|1f6cb couch|1f6cf bed|1f6bd toilet|1f6c1 bathtub|1f9f9 broom|1f9fa basket|1f9fd sponge
1f6d2 shopping trolley|1f455 t-shirt|1f456 pair of jeans|1f457 dress|1f45f shoe|1f460 high heel|1f462 boot|1f451 crown
1f3a9 top hat|1f9e2 cap|1f453 pair of glasses|1f45c handbag|1f392 backpack|1f9f3 suitcase|2602 umbrella
1f302 folded umbrella|1f48d ring|1f3e0 house|1f3f0 castle|1f5fc tower|26f2 fountain|26fa tent|1f6a6 traffic light
1f6d1 stop sign|26d1 helmet
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


class Icons:
    """The icons of a folder by name. Raises ConfigError if the folder holds none that can be named."""

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
        found = {name: path for path in files if (name := name_of(path.stem))}
        if not found:
            raise ConfigError(
                f"{folder} holds no named icons; give a folder of {' or '.join(SUFFIXES)} files named by what they "
                "show (red-car.png) or by their emoji's code point (26bd.webp)"
            )
        self._files = found

    @property
    def things(self) -> list[Thing]:
        """What can be drawn, in the order of the names."""
        return [Thing(name, name) for name in sorted(self._files)]

    def sprite(self, name: str) -> Sprite:
        """The icon (SIDE, SIDE, 4) of a name. Raises SourceError if its file is damaged."""
        return _load(self._files[name])


def name_of(stem: str) -> str:
    """The thing that a file's name says it shows, "" if it says none."""
    code = stem.lower().removesuffix("-fe0f")
    if re.fullmatch(r"[0-9a-f]{2,5}(-[0-9a-f]{2,5})*", code) and re.search(r"\d", code):
        return EMOJI.get(code, "")
    name = " ".join(re.sub(r"[^a-z]+", " ", stem.lower()).split())
    return name if 3 <= len(name) <= 30 else ""


@lru_cache(maxsize=256)
def _load(path: Path) -> Sprite:
    try:
        with Image.open(path) as image:
            picture = image.convert("RGBA")
            box = picture.getchannel("A").getbbox() or (0, 0, *picture.size)
            side = max(box[2] - box[0], box[3] - box[1])
            square = Image.new("RGBA", (side, side))
            cut = picture.crop(box)
            square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
            rows = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
    except (OSError, UnidentifiedImageError):
        raise SourceError(f"the icon {path} is missing or damaged; fetch the set again") from None
    return np.concatenate([rows[..., :3], rows[..., 3:] / 255], -1)
