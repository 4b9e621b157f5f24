"""What training shows: answers that are true of what they are asked about, and questions that give nothing away."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest

from tests.training.conftest import CAPTIONS, END, encode
from training.clips import NUMBERS, in_order, recalled_clip, scene_clip
from training.concepts import CONCEPTS, named_in
from training.labels import ABSENT, PRESENT, UNKNOWN, concept_labels
from training.packing import Item
from training.qa import open_questions, tidy, yes_no
from training.sampling import Photos, Sampler, Shot


def text(tokens: list[int] | tuple[int, ...]) -> str:
    return bytes(token for token in tokens if 0 <= token < 256).decode()


def asked(item: Item) -> list[tuple[str, str]]:
    return [(text(list(s.suffix)), text(list(s.target))) for s in item.segments]


def names() -> dict[str, int]:
    return {concept.name: index for index, concept in enumerate(CONCEPTS)}


@pytest.fixture
def sampler(photos: Photos) -> Sampler:
    return Sampler(photos, encode, END, seed=1)


def test_photo_items_tell_the_truth(sampler: Sampler, photos: Photos) -> None:
    for _ in range(60):
        shots: list[Shot] = []
        item = sampler.photo(shots, captions=2, checks=4, others=2)
        (shot,) = shots
        assert 0 <= shot.view < photos.views[shot.photo]
        assert (shot.anchor, shot.previous, item.prefix[-1]) == (0, None, ~0)
        by_question = {yes_no(c, True, random.Random(s))[0]: i for i, c in enumerate(CONCEPTS) for s in range(30)}
        for suffix, answer in asked(item):
            if suffix == "\nCaption:":
                assert answer.strip() in {tidy(c) for c in photos.captions[shot.photo]}
            question = suffix.removeprefix("\nQuestion: ").removesuffix("\nAnswer:")
            if answer in (" Yes.", " No.") and question in by_question:
                alike = [i for i, c in enumerate(CONCEPTS) if c.phrase == CONCEPTS[by_question[question]].phrase]
                wanted = PRESENT if answer == " Yes." else ABSENT
                assert wanted in [photos.labels[shot.photo, i] for i in alike]
        assert all(s.target[-1] == END for s in item.segments)


def test_yes_and_no_are_drawn_equally_often(sampler: Sampler) -> None:
    counts: Counter[str] = Counter()
    for _ in range(400):
        shots: list[Shot] = []
        item = sampler.photo(shots, captions=1, checks=4, others=0)
        counts.update(answer for _, answer in asked(item) if answer in (" Yes.", " No."))
    assert 0.4 < counts[" Yes."] / counts.total() < 0.6


def test_clips_link_shots_and_count_their_scenes(sampler: Sampler) -> None:
    seen = set()
    for _ in range(160):
        shots: list[Shot] = []
        item = scene_clip(sampler, shots, checks=4)
        frames = [~token for token in item.prefix if token < 0]
        assert frames == list(range(len(shots)))
        scenes = sum(shot.previous is None for shot in shots)
        for number, shot in enumerate(shots):
            assert shot.anchor <= number
            if shot.previous is not None:
                assert shot.previous == number - 1
                assert shots[shot.previous].photo == shot.photo
                assert shots[shot.anchor].photo == shot.photo
                # A held context comes with a still frame, a new one with movement.
                assert (shot.anchor == number) == (shot.energy >= 0.4)
        for suffix, answer in asked(item):
            if "How many scenes" in suffix or "How many different scenes" in suffix:
                assert answer.strip(" .") == NUMBERS[scenes - 1]
                seen.add(scenes)
            if "scene change" in suffix or "cut to" in suffix:
                assert answer == (" Yes." if scenes > 1 else " No.")
    assert {1, 2, 3, 4} < seen


def test_a_seed_repeats_its_draws(photos: Photos) -> None:
    def drawn(seed: int) -> list[Item]:
        sampler = Sampler(photos, encode, END, seed)
        return [scene_clip(sampler, [], checks=2) for _ in range(5)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_scenes_are_told_in_order() -> None:
    assert in_order(["A dog runs."]) == "A dog runs."
    assert in_order(["A dog runs.", "A man climbs."]) == "First, a dog runs. Then, a man climbs."


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (CAPTIONS[1], ("How many men are there?", "Two.")),
        ("Two men are playing soccer .", ("What are the men doing?", "Playing soccer.")),
        (CAPTIONS[2], ("What colour is the dress?", "Blue.")),
        (CAPTIONS[2], ("Where is this?", "On a bench.")),
        ("A dog runs in the snow .", ("Where is this?", "In the snow.")),
    ],
)
def test_open_questions_come_from_the_caption(caption: str, expected: tuple[str, str]) -> None:
    assert expected in open_questions(caption)


def test_tidy() -> None:
    assert tidy("a dog 's ball , thrown by a man .") == "A dog's ball, thrown by a man."


def test_concepts_are_whole_words_and_their_classes_exist() -> None:
    at = names()
    assert {at["dog"], at["animal"], at["run"], at["snow"]} <= named_in("A dog runs in the snow.")
    assert at["cat"] not in named_in("A catalogue of categories")
    assert len({(concept.kind, concept.name) for concept in CONCEPTS}) == len(CONCEPTS)
    assert all(0 <= number < 1000 for concept in CONCEPTS for number in concept.classes)
    assert {concept.kind for concept in CONCEPTS} == {"thing", "act", "place"}


def test_labels_from_captions_classes_and_scores() -> None:
    at, count = names(), 20
    captions = [["A dog runs ."] if i < 12 else ["A man sits ."] for i in range(count)]
    classes = np.zeros((count, 1000), np.float32)
    classes[15, 281] = 0.9  # a cat that no caption names
    classes[16, 200] = 0.2  # perhaps a dog
    scores = np.zeros((count, len(CONCEPTS)), np.float32)
    scores[:12, at["dog"]] = 0.5
    scores[18, at["dog"]] = 0.9
    labels = concept_labels(captions, classes, scores)
    dog = labels[:, at["dog"]]
    assert (dog[:12] == PRESENT).all()
    assert dog[13] == ABSENT
    assert dog[[16, 18]].tolist() == [UNKNOWN, UNKNOWN], "a classifier or a score that is not sure of its absence"
    assert labels[15, at["cat"]] == PRESENT
    alone = concept_labels([[], []], classes[[13, 13]], scores[[18, 13]], (labels, scores))
    assert alone[:, at["dog"]].tolist() == [PRESENT, ABSENT]


def test_what_is_missing_is_denied_and_nothing_else(sampler: Sampler, photos: Photos) -> None:
    at = {concept.phrase: index for index, concept in enumerate(CONCEPTS) if concept.kind in ("thing", "act")}
    denied = 0
    for _ in range(100):
        shots: list[Shot] = []
        item = recalled_clip(sampler, shots) if denied % 2 else scene_clip(sampler, shots, checks=2)
        for _, answer in asked(item):
            if found := re.match(r" I do not see (?:anyone )?(.+)\.", answer):
                shown = {shot.photo for shot in shots}
                assert all(photos.labels[photo, at[found[1]]] == ABSENT for photo in shown)
                denied += 1
    assert denied > 10


def test_an_evidence_block_is_what_its_questions_are_about(sampler: Sampler, photos: Photos) -> None:
    for _ in range(60):
        shots: list[Shot] = []
        item = recalled_clip(sampler, shots)
        marks = [i for i, token in enumerate(item.prefix) if token == encode("[")[0]]
        block = {shots[~token].photo for token in item.prefix[marks[-1] :] if token < 0}
        assert len(marks) == 2
        assert len(block) == 1
        told = [pair for caption in photos.captions[block.pop()] for pair in open_questions(caption)]
        for suffix, answer in asked(item):
            question = suffix.removeprefix("\nQuestion: ").removesuffix("\nAnswer:")
            if not answer.startswith((" Yes", " No", " I do not see")):
                assert (question, answer.strip()) in told
