"""The metric: people score far above a constant, and its tokenizer gives the Java tokenizer's words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaluation.caption_scores import score_captions, tokenize
from evaluation.flickr import read_split

pytest.importorskip("pycocoevalcap")


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog runs .", "a dog runs"),
        ("The man's t-shirt, isn't it?", "the man 's t-shirt is n't it"),
        ("We cannot see.", "we can not see"),
        ('Two "big" dogs; they\'re wet!', "two big dogs they 're wet"),
        ("A 3.5 km run -- at 5 o'clock ...", "a 3.5 km run at 5 o'clock"),
        ("", ""),
    ],
)
def test_tokenize(caption: str, words: str) -> None:
    assert " ".join(tokenize(caption)) == words


@pytest.mark.data
def test_people_score_far_above_a_constant(data: Path) -> None:
    photos = read_split(data / "flickr8k", "test")[:300]
    people = score_captions([photo.captions[0] for photo in photos], [photo.captions[1:] for photo in photos])
    constant = score_captions(["A man in a blue shirt is standing."] * 300, [photo.captions for photo in photos])
    assert people.cider > 0.6
    assert constant.cider < 0.15


@pytest.mark.data
@pytest.mark.peer
def test_the_same_words_as_the_java_tokenizer(data: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("no Java runtime: the Stanford tokenizer cannot be compared")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    photos = read_split(data / "flickr8k", "test")
    captions = {photo.path.name: [{"caption": text} for text in photo.captions] for photo in photos}
    theirs = PTBTokenizer().tokenize(captions)
    for photo in photos:
        assert [" ".join(tokenize(text)) for text in photo.captions] == theirs[photo.path.name]
