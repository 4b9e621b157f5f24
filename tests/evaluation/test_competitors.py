"""Competitors by transformers' own classes: they see the clip, their tokens are counted, two steps equal one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from evaluation.competitors import KINDS, LLAVA_FRAMES, load, state_of
from evaluation.competitors_chat import ANSWER_TOKENS, NO, YES, Chat, first_tokens
from evaluation.sampling import by_rate, evenly
from llama_vid.cli import app
from llama_vid.errors import BundleError, SourceError
from tests.conftest import painted, read_second, write_video
from tests.evaluation.question_sets import clip, write_folder
from tests.evaluation.tiny_competitors import LLAVA_TOKENS, SAVE

QUESTION = "Is there a dog in the video?"
BOTH = pytest.mark.parametrize("name", list(SAVE))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips that differ, one that stands still, one that is no video, and what is asked about the first two."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "0.mp4", [painted(second) for second in range(6)])
    write_video(folder / "1.mp4", [painted(100 + 20 * second) for second in range(6)])
    write_video(folder / "still.mp4", [painted(7)] * 6)
    (folder / "broken.mp4").write_bytes(b"no video")
    rows = [clip(0), clip(1, kind="people")]
    return write_folder(folder, rows, yesno=[("0.mp4", "dog", "yes"), ("1.mp4", "dog", "no"), ("1.mp4", "cat", "no")])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in SAVE.items()}


@pytest.fixture(scope="module")
def chats(places: dict[str, Path]) -> dict[str, Chat]:
    return {name: Chat(load(KINDS[name], str(place), device="cpu", dtype="fp32")) for name, place in places.items()}


def whole(chat: Chat, path: Path) -> tuple[torch.Tensor, dict[str, Any]]:
    """Scores of the answer's first token by transformers alone, in one step, and what the model was given."""
    loaded = chat._loaded
    given = chat.inputs(loaded.kind.sample(path, None), QUESTION)
    with torch.inference_mode():
        scores: torch.Tensor = loaded.model(**given).logits[0, -1]
    return scores, given


@BOTH
def test_in_two_steps_as_in_one_and_the_clip_decides(chats: dict[str, Chat], clips: Path, name: str) -> None:
    chat, found = chats[name], []
    for file in ("0.mp4", "1.mp4"):
        chat.take(clips / file)
        assert chat.answer("open", "What is it?").text
        scores, _ = whole(chat, clips / file)
        torch.testing.assert_close(chat.logits(QUESTION), scores, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(chat.logits(QUESTION), scores, atol=1e-4, rtol=1e-4)  # nothing of a question stays
        found.append(scores)
    assert (found[0] - found[1]).abs().max() > 0.01


@BOTH
def test_tokens_are_counted_in_what_the_model_is_given(chats: dict[str, Chat], clips: Path, name: str) -> None:
    chat = chats[name]
    counted = {}
    for file in ("0.mp4", "still.mp4"):
        chat.take(clips / file)
        seen = chat.seen()
        _, given = whole(chat, clips / file)
        assert seen.tokens == int((given["input_ids"] == chat._video).sum())
        counted[file] = seen
    if name == "llava-next-video":
        assert counted["0.mp4"].frames == LLAVA_FRAMES
        assert counted["0.mp4"].tokens == LLAVA_FRAMES * LLAVA_TOKENS
    else:  # VideoLLaMA 3 leaves out what did not change since the frame before
        assert counted["0.mp4"].frames == counted["still.mp4"].frames == 6
        assert (counted["still.mp4"].tokens or 0) < (counted["0.mp4"].tokens or 0)


@BOTH
def test_yes_or_no_is_the_first_tokens_scores(chats: dict[str, Chat], clips: Path, name: str) -> None:
    chat = chats[name]
    chat.take(clips / "0.mp4")
    heard = chat.answer("yesno", QUESTION)
    scores = whole(chat, clips / "0.mp4")[0].softmax(0)
    words = chat._tokenizer
    yes, no = (sum(float(scores[token]) for token in tokens) for tokens in first_tokens(words, YES, NO))
    assert heard.probability == pytest.approx(yes / (yes + no), abs=1e-4)
    assert heard.text == ("Yes" if yes >= no else "No")
    blind = chat.blind("yesno", QUESTION)
    assert blind.probability != pytest.approx(heard.probability, abs=1e-4)
    assert chat.answer("yesno", QUESTION) == heard


@BOTH
def test_a_free_answer_is_transformers_greedy_one(chats: dict[str, Chat], clips: Path, name: str) -> None:
    chat = chats[name]
    chat.take(clips / "1.mp4")
    _, given = whole(chat, clips / "1.mp4")
    wanted = chat._loaded.model.generate(**given, do_sample=False, max_new_tokens=ANSWER_TOKENS)
    text = chat._tokenizer.decode(wanted[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    assert chat.answer("open", QUESTION).text == " ".join(text.split())


def test_what_is_asked_is_the_models_own_template(chats: dict[str, Chat]) -> None:
    assert chats["llava-next-video"].prompt(QUESTION, video=True) == (
        f"USER: <video>\n{QUESTION}\nAnswer the question using a single word or phrase. ASSISTANT:"
    )
    assert chats["video-llama"].prompt(QUESTION, video=False) == (
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_times_of_the_frames_reach_video_llama(chats: dict[str, Chat], clips: Path) -> None:
    _, given = whole(chats["video-llama"], clips / "0.mp4")
    text = chats["video-llama"]._tokenizer.decode(given["input_ids"][0]).replace("<|video_pad|>", "")
    assert "Time 0.0s:,Time 1.0s:,Time 2.0s:,Time 3.0s:,Time 4.0s:,Time 5.0s:\n" in text


def test_frames_are_spread_over_the_film(clips: Path) -> None:
    four = evenly(clips / "0.mp4", 3)
    assert four.seconds == (0.0, 2.0, 4.0)
    assert [read_second(image) for image in four.images] == [0, 2, 4]
    assert by_rate(clips / "0.mp4", 1.0, least=4, most=180).seconds == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert len(by_rate(clips / "0.mp4", 1.0, least=8, most=180).seconds) == 8
    assert by_rate(clips / "0.mp4", 1.0, least=1, most=2).seconds == (0.0, 3.0)
    with pytest.raises(SourceError):
        evenly(clips / "broken.mp4", 4)


def test_what_is_no_such_model_is_told(places: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds a video_llama_3 model, not llava_next_video"):
        load(KINDS["llava-next-video"], str(places["video-llama"]))
    (tmp_path / "config.json").write_text('{"model_type": "videollama3_qwen2"}')
    with pytest.raises(BundleError, match="its own repository; give a checkpoint in transformers' format"):
        load(KINDS["video-llama"], str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "llava_next_video"}')
    with pytest.raises(BundleError, match="cannot be loaded as LlavaNextVideoForConditionalGeneration"):
        load(KINDS["llava-next-video"], str(tmp_path))


def test_other_weights_are_another_system(places: dict[str, Path], chats: dict[str, Chat], tmp_path: Path) -> None:
    shutil.copytree(places["video-llama"], tmp_path / "copy")
    other, name = state_of(str(tmp_path / "copy"), chats["video-llama"]._model), places["video-llama"].name
    state = chats["video-llama"]._loaded.state
    assert f"{name} {state} 1 frame a second" in chats["video-llama"].identity
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"other")
    assert len({other, state_of(str(tmp_path / "copy"), chats["video-llama"]._model)}) == 2


@BOTH
def test_from_the_command_line(places: dict[str, Path], clips: Path, tmp_path: Path, name: str) -> None:
    arguments = ["eval", "yesno", str(clips), "--system", name, "--weights", str(places[name]), "--device", "cpu"]
    arguments += ["--frames", "4", "--dtype", "fp32", "--report", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["n"], result["clips"], result["missing"]) == (3, 2, {})
    found = result["systems"][name]
    assert found["model"].startswith(KINDS[name].model_class)
    assert (found["frames_most"], found["failed"], found["not_asked"]) == (4, {}, 0)
    assert found["yesno"]["n"] == found["yesno"]["blind"]["n"] == 3
    assert found["yesno"]["by_kind"].keys() == {"animal", "people"}
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()]
    tokens = sum(line["tokens"] for line in lines if line["clip"])
    assert found["tokens_per_frame"] == pytest.approx(tokens / 8)
    assert found["tokens_per_hour_at_1_fps"] == pytest.approx(tokens / 8 * 3600)
    assert f"| {name} |" in (tmp_path / "out" / "table.md").read_text()

    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout) == result  # all of it, times too, from what was kept
    assert len((tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()) == len(lines)
