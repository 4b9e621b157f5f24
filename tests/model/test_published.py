"""Published LLaMA-VID checkpoints, tiny: loaded, compared with the plain reference, and asked, end to end."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from llama_vid import LLaMAVID
from llama_vid.film import Film
from llama_vid.llm import guided
from llama_vid.llm.decoding import circles
from llama_vid.llm.preface import Preface
from llama_vid.published import PublishedBundle, identity, load_published
from llama_vid.recorder import Recorder
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.llamavid_compressor import STANDING, GuidedCompressor
from llama_vid.tokenizer.llamavid_qformer import text_ids
from llama_vid.tokenizer.llamavid_tower import GuidedTower
from llama_vid.tokenizer.llamavid_vision import BAR, padded
from tests.bundles import skip_without_mini
from tests.conftest import painted
from tests.model import published_reference as reference
from tests.model.published_tiny import QUERIES, SIDE, WIDTH, tiny_weights, write_checkpoint

pytestmark = pytest.mark.model
QUESTION = "What is the man doing?"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: "
)


@dataclass
class Tiny:
    """A loaded tiny checkpoint and its weights by published key."""

    folder: Path
    weights: dict[str, Tensor]
    bundle: PublishedBundle
    said: list[str]

    def tokens(self, images: list[np.ndarray], text: str) -> Tensor:
        """The reference's tokens (B, 2, D) of pictures under a text."""
        pixels = torch.stack([torch.from_numpy(padded(image, 14 * SIDE)).permute(2, 0, 1) for image in images])
        return reference.frame_tokens(self.weights, reference.features(self.weights, pixels), text_ids(text))

    def answer(self, memory: Tensor, question: str) -> str:
        """The reference's greedy answer behind frame tokens (n, D)."""
        language = self.bundle.language
        table = self.weights["model.embed_tokens.weight"]
        before, after = language.tokenize(SYSTEM), language.tokenize(f"\n{question} ASSISTANT:")
        x = torch.cat([table[[1, *before]], memory, table[after]])
        ids: list[int] = []
        while len(ids) < guided.ANSWER_TOKENS:
            token = int(reference.next_scores(self.weights, x).argmax())
            if token in (0, 1, 2):
                break
            if circles([*ids, token], guided.LOOP):
                break
            ids.append(token)
            x = torch.cat([x, table[[token]]])
        return language.detokenize(ids).rstrip("\N{REPLACEMENT CHARACTER}").strip() or "I cannot tell."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    skip_without_mini()
    weights = tiny_weights()
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / "llama-vid-tiny", weights)
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    keep = Keep(logging.WARNING)
    logging.getLogger("llama_vid").addHandler(keep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(guided, "ANSWER_TOKENS", 12)
        bundle = load_published(folder, device="cpu", dtype="fp32")
        logging.getLogger("llama_vid").removeHandler(keep)
        yield Tiny(folder, weights, bundle, records)


def pictures(count: int) -> list[np.ndarray]:
    return [painted(37 * second % 256) for second in range(count)]


def frames(count: int) -> list[Frame]:
    return [Frame(float(second), image) for second, image in enumerate(pictures(count))]


def kept(film: Film, index: int) -> np.ndarray:
    """The picture kept of an entry, as it is read again."""
    data = film.frame(film.entries[index].start)
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_licence_and_memory_are_said_before_loading(tiny: Tiny) -> None:
    assert "CC BY-NC 4.0" in tiny.said[0]
    assert "needs 0.0 GB for its weights (float32)" in tiny.said[1]
    assert "GB are free on cpu" in tiny.said[1]
    assert len(tiny.said) == 2, "every key is used or known as dropped: no warning names one"


def test_raw_features_and_both_tokens_equal_the_reference(tiny: Tiny) -> None:
    tower, compressor = tiny.bundle.tower, tiny.bundle.compressor
    assert isinstance(tower, GuidedTower)
    assert isinstance(compressor, GuidedCompressor)
    images = pictures(3)
    pixels = torch.stack([torch.from_numpy(padded(image, 14 * SIDE)).permute(2, 0, 1) for image in images])
    wanted = reference.features(tiny.weights, pixels)
    assert wanted.shape == (3, SIDE * SIDE + 1, WIDTH)
    torch.testing.assert_close(tower.vision(pixels), wanted, rtol=1e-5, atol=1e-5)
    ids = text_ids(QUESTION)
    queries = compressor.tokens.reader(wanted, ids)
    assert queries.shape[1] == QUERIES
    torch.testing.assert_close(queries, reference.queries(tiny.weights, wanted, ids), rtol=1e-5, atol=1e-5)
    found = compressor.tokens(wanted, ids)
    torch.testing.assert_close(found, reference.frame_tokens(tiny.weights, wanted, ids), rtol=1e-5, atol=1e-5)
    other = compressor.tokens.context(wanted, text_ids("Is it raining?"))
    assert (other - found[:, 0]).abs().max() > 1e-3, "the context token depends on the question"


def test_language_model_equals_the_reference(tiny: Tiny) -> None:
    language = tiny.bundle.language
    x = language.embed([1, *language.tokenize("the man is in the tent.")])
    found = language.logits(language.forward(x)[-1])
    torch.testing.assert_close(found, reference.next_scores(tiny.weights, x), rtol=1e-5, atol=1e-5)
    assert (language.context, language.eos) == (4096, (2,))


def test_texts_are_split_as_vicuna_splits_them(tiny: Tiny) -> None:
    tokenizer = tiny.bundle.language.tokenizer
    pieces = [tokenizer.id_to_token(number) for number in tiny.bundle.language.tokenize("\nthe é</s> Yes")]
    assert pieces[:3] == ["▁", "<0x0A>", "the"]
    assert pieces[3:6] == ["▁", "<0xC3>", "<0xA9>"]
    assert pieces[-1] == "▁Yes"
    assert "</s>" not in pieces, "text from outside is never a control token"
    assert tiny.bundle.language.detokenize(tiny.bundle.language.tokenize("the é is in")) == "the é is in"


def test_long_text_loses_its_beginning() -> None:
    skip_without_mini()
    words = [f"word{number}" for number in range(300)]
    ids, whole = text_ids(" ".join(words)), text_ids(" ".join(words[-50:]))
    assert len(ids) == 256
    assert (ids[0], ids[-1]) == (101, 102), "[CLS] and [SEP] stay"
    assert ids[-30:].tolist() == whole[-30:].tolist()
    assert int(ids.max()) < 30522


def test_memory_holds_the_tokens_of_the_standing_guide(tiny: Tiny) -> None:
    for watch_for, text in ((None, STANDING), ("a red car", "a red car")):
        recorder = Recorder(tiny.bundle, watch_for=watch_for)
        recorder.add(frames(4))
        held = torch.stack([torch.stack([entry.pair.context, entry.pair.motion]) for entry in recorder.bank.entries])
        torch.testing.assert_close(held, tiny.tokens(pictures(4), text), rtol=1e-5, atol=1e-5)


def test_a_frame_that_shows_the_same_again_costs_nothing(tiny: Tiny) -> None:
    recorder = Recorder(tiny.bundle)
    image = painted(5)
    recorder.add([Frame(float(second), image) for second in range(20)])
    assert len(recorder.bank.entries) < 5
    assert recorder.bank.entries[-1].pair.motion.abs().max() > 0, "the content token, not one for stillness"


def test_asking_equals_the_reference_end_to_end(tiny: Tiny, counting_video: Path) -> None:
    model = LLaMAVID(tiny.bundle)
    film = model.open(counting_video, question=QUESTION)
    images = [frame.image for frame in FileSource(str(counting_video))]
    assert len(film.entries) == len(images) == 10, "each second is another picture"
    answer = film.ask(QUESTION)
    memory = tiny.tokens(images, QUESTION)
    wanted = tiny.answer(memory.flatten(0, 1), QUESTION)
    assert answer.answer == wanted
    assert wanted != tiny.answer(memory.flatten(0, 1).flip(0), QUESTION), "what it says depends on the frames"
    assert answer.tokens.frames == 10
    assert answer.tokens.video == 20
    assert answer.evidence
    assert all(0 <= time < 10 for time in answer.timestamps)
    assert answer.model == "llama-vid-tiny"


def test_another_question_gets_its_frames_read_again(tiny: Tiny, counting_video: Path) -> None:
    model = LLaMAVID(tiny.bundle)
    film = model.open(counting_video, question=QUESTION)
    other = "Where is the tent?"
    images = [frame.image for frame in FileSource(str(counting_video))]
    best = sorted(model.responder.find.scores(film.entries, "the tent").topk(8).indices.tolist())
    seen = [kept(film, index) for index in best]
    memory = torch.cat([tiny.tokens(images, QUESTION).flatten(0, 1), tiny.tokens(seen, other).flatten(0, 1)])
    assert film.ask(other).answer == tiny.answer(memory, other)


def test_a_named_time_is_answered_from_its_frames_alone(tiny: Tiny, counting_video: Path) -> None:
    model = LLaMAVID(tiny.bundle)
    question = "What is seen in the first 4 seconds?"
    film = model.open(counting_video, question=question)
    images = [frame.image for frame in FileSource(str(counting_video))][:4]
    again = [kept(film, index) for index in range(4)]
    memory = torch.cat([tiny.tokens(images, question).flatten(0, 1), tiny.tokens(again, question).flatten(0, 1)])
    answer = film.ask(question)
    assert answer.answer == tiny.answer(memory, question)
    assert all(time < 4 for time in answer.timestamps)


def test_times_are_computed_and_all_else_works_as_ever(tiny: Tiny, counting_video: Path) -> None:
    model = LLaMAVID(tiny.bundle)
    film = model.open(counting_video)
    assert film.ask("When does the scene change?").answer
    assert film.ask("Is there a dog?").answer
    assert film.ask("What happened?").answer
    spans = film.timeline()
    assert (spans[0].start, spans[-1].end) == (0.0, pytest.approx(10.0, abs=1.1))
    assert all(span.caption for span in spans)
    assert film.search("a red car")
    assert model.bundle.scorer.score(model.bundle.scorer.query("a dog"), film.entries[0].embedding[None]).isfinite()


def test_a_checkpoint_for_photos_reads_only_what_matches(tiny: Tiny, counting_video: Path) -> None:
    compressor, language = tiny.bundle.compressor, copy.copy(tiny.bundle.language)
    assert isinstance(compressor, GuidedCompressor)
    tokens = copy.copy(compressor.tokens)
    tokens.grid = 0  # no pooling: every patch is a token
    photos = GuidedCompressor(tokens, patches=SIDE * SIDE + 1, channels=WIDTH)
    language.preface = Preface(begin=(1,), memory=False)
    bundle = replace(tiny.bundle, compressor=photos, language=language)
    assert bundle.evidence_frames == 8
    language.context = 4 * 17 + bundle._prompt + 256  # room for four pictures beside question and answer
    assert bundle.evidence_frames == 4
    assert bundle.budget().frames_tokens > 7000, "a memory that is not read is bounded as usual"
    model = LLaMAVID(bundle)
    film = model.open(counting_video, question=QUESTION)
    best = sorted(model.responder.find.scores(film.entries, "the man").topk(4).indices.tolist())
    pixels = torch.stack([torch.from_numpy(padded(kept(film, n), 14 * SIDE)).permute(2, 0, 1) for n in best])
    seen = reference.features(tiny.weights, pixels)
    evidence = reference.frame_tokens(tiny.weights, seen, text_ids(QUESTION), None)
    assert evidence.shape[1] == 17
    assert film.ask(QUESTION).answer == tiny.answer(evidence.flatten(0, 1), QUESTION)


def test_many_cameras_share_one_forward(tiny: Tiny) -> None:
    tower = tiny.bundle.tower
    one = tower.encode_pixels(tower.pixels(pictures(3)))
    part = one.rows(slice(1, 3))
    assert type(part) is type(one)
    pairs = tiny.bundle.compressor.alone(part)
    wanted = tiny.tokens(pictures(3)[1:], STANDING)
    torch.testing.assert_close(torch.stack([pair.context for pair in pairs]), wanted[:, 0], rtol=1e-5, atol=1e-5)
    again = type(one).joined([one.rows(slice(0, 1)), part.own()])
    torch.testing.assert_close(again.embedding, one.embedding)


def test_pictures_are_padded_not_cut() -> None:
    image = np.full((90, 160, 3), 200, dtype=np.uint8)
    image[:, :8] = 10  # the left edge
    square = padded(image, 56)
    assert square.shape == (56, 56, 3)
    assert tuple(square[0, 30]) == tuple(square[-1, 30]) == BAR
    assert square[28, 0].max() < 60, "the left edge is still there"
    assert square[28, 30].tolist() == [200, 200, 200]
    assert (square[:, 30] == 200).all(1).sum() == pytest.approx(56 * 90 / 160, abs=1)


def test_a_memory_knows_its_checkpoint(tiny: Tiny, tmp_path: Path) -> None:
    from llama_vid.model_loading import token_maker

    assert token_maker(str(tiny.folder)) == identity(tiny.folder)
    other = write_checkpoint(tmp_path / "llama-vid-tiny", tiny.weights, compress_type="grid:2")
    assert identity(other) != identity(tiny.folder)
    assert token_maker("jia-lab/llama-vid-7b") == "YanweiLi/llama-vid-7b-full-224-video-fps-1"
