"""Words as captions use them: what people ask for in general terms, and the things that photos are captioned with.

An image-text model trained on captions knows "a man", "two children", "a brown dog", but scores "a person" or "an
animal" poorly, because hardly anyone captions a photo so. A general word is therefore looked for through its kinds.
"""

from __future__ import annotations

import re
from typing import Final

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "person": ("a man", "a woman", "a boy", "a girl", "two people", "a man in a shirt"),
    "someone": ("a man", "a woman", "a boy", "a girl", "people"),
    "people": ("a group of people", "two people", "men and women", "a crowd of people"),
    "man": ("a man", "a man in a shirt", "an old man", "a young man", "two men"),
    "woman": ("a woman", "a young woman", "a woman in a dress", "a woman with long hair", "two women"),
    "child": ("a little boy", "a little girl", "a small child", "children playing", "a baby", "a toddler"),
    "baby": ("a baby", "a toddler", "a small child"),
    "kid": ("a little boy", "a little girl", "kids playing"),
    "animal": ("a dog", "a cat", "a bird", "a horse", "a bear", "a cow", "a deer", "an animal"),
    "pet": ("a dog", "a cat", "a kitten", "a parrot"),
    "bird": ("a bird", "a duck", "a parrot", "birds flying"),
    "vehicle": ("a car", "a truck", "a bus", "a motorcycle", "a train", "a van"),
    "car": ("a car", "cars on a road", "a red car", "a parked car"),
    "bicycle": ("a bicycle", "a man riding a bike", "bikes"),
    "motorcycle": ("a motorcycle", "a man riding a motorcycle", "a dirt bike"),
    "fruit": ("fruit", "an apple", "a banana", "an orange fruit", "a lemon"),
    "vegetable": ("vegetables", "carrots", "broccoli", "a cucumber", "a salad"),
    "food": ("food on a plate", "a meal", "a pizza", "meat", "vegetables"),
    "toy": ("a toy", "a child playing with a toy", "toy blocks", "a stuffed animal", "a doll"),
    "musical instrument": (
        "a guitar",
        "drums",
        "a piano",
        "a violin",
        "a saxophone",
        "a man playing guitar",
        "a drummer",
    ),
    "instrument": ("a guitar", "drums", "a piano", "a violin", "a man playing guitar", "a drummer"),
    "music": ("a man playing guitar", "a drummer", "a band playing music", "a man singing on stage"),
    "sport": (
        "a soccer player",
        "a basketball player",
        "a baseball player",
        "a tennis player",
        "a man skiing",
        "a man surfing",
        "a football game",
        "a skateboarder",
    ),
    "street": ("a street", "a city street", "a road with cars", "people on a sidewalk", "a highway"),
    "road": ("a road", "cars driving on a road", "a highway", "a city street"),
    "outdoors": (
        "people outside",
        "a grassy field",
        "a street outside",
        "trees and sky",
        "mountains",
        "a beach",
        "snow on the ground",
    ),
    "indoors": ("people inside a room", "a kitchen", "a living room", "an office", "a bedroom"),
    "kitchen": ("a kitchen", "a woman cooking in a kitchen", "a stove", "cooking food in a pan"),
    "cooked": ("cooking food in a pan", "a woman cooking", "a man cooking food", "a wok", "chopped vegetables"),
    "cooking": ("cooking food in a pan", "a woman cooking", "a man cooking food", "a wok"),
    "computer screen": ("a computer screen", "a web site", "a monitor", "a laptop", "a screen with text"),
    "screen": ("a computer screen", "a web site", "a monitor", "a television"),
    "dancing": ("a man dancing", "a woman dancing", "people dancing", "a dancer on stage"),
    "speech": ("a man speaking into a microphone", "a man in a suit talking", "a speaker on a stage"),
    "talk": ("a man speaking into a microphone", "a man in a suit talking", "a speaker on a stage"),
    "snow": ("snow", "a man in the snow", "a dog in the snow", "a snowy mountain"),
    "grass": ("green grass", "a grassy field", "a dog running on grass", "a lawn"),
    "plant": ("a plant", "flowers", "leaves", "a potted plant"),
    "water": ("water", "the ocean", "a lake", "a swimming pool", "a river"),
}
TEMPLATES: Final = ("{}", "A photo of {} .", "There is {} in the picture .")
_PLURAL: Final = {
    "children": "child",
    "kids": "kid",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "babies": "baby",
}
_OR: Final = re.compile(r"\s+(?:or|and/or)\s+(?:a |an |the )?")


def looked_for(text: str) -> tuple[str, ...]:
    """The phrases through which a subject is looked for: itself if it is specific, else its kinds.

    "a child or a baby" gives the kinds of both; a longer phrase ("a red car on a bridge") stays as it is.
    """
    clean = " ".join(text.lower().split()).strip(" .?!")
    found: list[str] = []
    for part in _OR.split(clean):
        words = [_PLURAL.get(word, word) for word in re.sub(r"^(?:a|an|the|any|some)\s+", "", part).split()]
        kinds = _kinds(words) if len(words) <= 6 else ()
        found.extend(kinds or (part,))
    return tuple(dict.fromkeys(found)) or (clean,)


def _kinds(words: list[str]) -> tuple[str, ...]:
    """The kinds of a short phrase: of the whole, else of its last two or one words, else of any word of an activity."""
    for size in (len(words), 2, 1):
        if 0 < size <= len(words):
            key = " ".join(words[-size:])
            for form in (key, key.removesuffix("s")):
                if form in KINDS and (size == len(words) or _plain(words[:-size])):
                    return KINDS[form]
    for word in words:
        if word in ("dancing", "cooking", "cooked", "sport", "speech", "music", "instrument", "screen"):
            return KINDS[word]
    return ()


def _plain(words: list[str]) -> bool:
    """Whether the words before a general one add nothing to look for."""
    return all(
        word
        in (
            "a",
            "an",
            "the",
            "doing",
            "playing",
            "giving",
            "some",
            "any",
            "on",
            "in",
            "someone",
            "is",
            "this",
            "musical",
        )
        for word in words
    )
