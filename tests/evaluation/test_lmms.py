"""The benchmarks' plugin behind the interface of lmms-eval 0.7.3: every task's prompts, media and request shapes."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.lmms.answering import Answerer, Settings
from evaluation.lmms.prompts import read_prompt
from llama_vid.errors import ConfigError, SourceError
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import mark_text
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.prompts import question_suffix
from llama_vid.llm.session import embed_segments
from tests.conftest import ROOT, painted, write_video
from tests.evaluation.lmms_fake import FakeInstance, ScriptedModel, modules, requests, scripted_films
from tests.evaluation.lmms_mini import MINIS, Mini
from tests.llm.conftest import save_tiny

#: What the scripted pictures show: the right option of each multiple-choice miniature.
SEEN = ("a counting picture", "Blocks.", "white blocks")
#: What each miniature is answered with; those that are not here are asked as they stand.
WANTED = {
    "mvbench": ["B"],
    "videomme": ["A"],
    "activitynetqa": ["No", "Asked: What is in the video?"],
    "nextqa_mc": ["C"],
    "nextqa_oe": ["No"],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return LanguageModel.load(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 3-second video where each task looks for it."""
    folder = tmp_path_factory.mktemp("home")
    video = write_video(folder / "made.mp4", [painted(s) for s in range(3)])
    for mini in MINIS:
        place = folder / mini.video
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, place)
    return folder


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plugin's model module, on lmms-eval's interface as `lmms_fake.py` has it."""
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "evaluation.lmms.model", raising=False)
    yield importlib.import_module("evaluation.lmms.model")
    sys.modules.pop("evaluation.lmms.model", None)


@pytest.fixture
def scripted(tiny: LanguageModel) -> ScriptedModel:
    return ScriptedModel(tiny, SEEN)


@pytest.fixture
def lm(plugin: ModuleType, scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin's model with the scripted bundle."""
    monkeypatch.setattr(
        plugin.LlamaVidLive,
        "_films",
        lambda _self, settings: scripted_films(scripted, fps=settings.fps, folder_fps=settings.folder_fps),
    )
    return plugin.LlamaVidLive(device="cpu", batch_size=1, max_batch_size=None)


@pytest.mark.parametrize("mini", MINIS, ids=lambda mini: mini.name)
def test_every_task(lm: Any, scripted: ScriptedModel, home: Path, mini: Mini) -> None:
    answers = lm.generate_until(requests(lm, mini, home))
    assert answers == WANTED.get(mini.name, [f"Asked: {prompt}" for prompt in mini.prompts])
    assert scripted.opened == [(str(home / mini.video), 1.0)], "a video is taken in once for all its questions"


def asked(lm: Any, home: Path, *questions: tuple[str, str], **arguments: Any) -> list[FakeInstance]:
    """Requests about videos by their paths below `home`."""
    lm.task_dict["t"] = {"test": [path for path, _ in questions]}
    return [
        FakeInstance("generate_until", (question, arguments, lambda path: [str(home / path)], number, "t", "test"))
        for number, (_, question) in enumerate(questions)
    ]


def test_answers_come_in_the_order_of_the_requests(lm: Any, scripted: ScriptedModel, home: Path) -> None:
    one, other = (mini.video for mini in MINIS[:2])
    questions = [(one, "Who?"), (other, "How many?"), (one, "How many?"), (other, "What?")]
    assert lm.generate_until(asked(lm, home, *questions)) == ["Asked: Who?", "0 1 2", "0 1 2", "Asked: What?"]
    assert [path for path, _ in scripted.opened] == [str(home / one), str(home / other)]
    assert [res for _, _, res in lm.cache_hook.taken] == ["Asked: Who?", "0 1 2", "0 1 2", "Asked: What?"]


def test_a_video_that_cannot_be_shown_is_counted_and_the_rest_goes_on(
    lm: Any, plugin: ModuleType, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    questions = [("missing.mp4", "What?\nA. x\nB. y"), (MINIS[0].video, "What?")]
    assert lm.generate_until(asked(lm, home, *questions)) == [plugin.UNREADABLE, "Asked: What?"]
    assert lm.unreadable == 1
    assert "missing.mp4 is not there" in caplog.text


def test_generation_arguments_that_apply(lm: Any, home: Path) -> None:
    video = MINIS[0].video
    assert lm.generate_until(asked(lm, home, (video, "Who is it?"), until=["is"])) == ["Asked: Who"]
    assert lm.generate_until(asked(lm, home, (video, "Who is it?"), until="Who", max_new_tokens=99)) == ["Asked:"]
    assert lm.generate_until(asked(lm, home, (video, "Who?"), max_new_tokens=5, temperature=1)) == ["Asked"]


def test_several_videos_pictures_and_folders_are_one_film(scripted: ScriptedModel, home: Path, tmp_path: Path) -> None:
    films = scripted_films(scripted, folder_fps=2.0)
    video = str(home / MINIS[0].video)
    two = films.open(films.key([video, video]))
    assert two.seen == [0, 1, 2, 0, 1, 2]  # type: ignore[attr-defined]
    assert [entry.start for entry in two.entries] == [0, 1, 2, 3, 4, 5]
    assert [entry.pair.cut for entry in two.entries] == [False, False, False, True, False, False]
    for second in (9, 10, 2):  # names that sort otherwise as text
        Image.fromarray(painted(second)).save(tmp_path / f"frame{second}.png")
    folder = films.open(films.key([str(tmp_path)]))
    assert folder.seen == [2, 9, 10]  # type: ignore[attr-defined]
    assert [entry.start for entry in folder.entries] == [0, 0.5, 1]
    shown = [Image.fromarray(painted(7)), painted(8), str(tmp_path / "frame9.png")]
    key = films.key(shown)
    pictures = films.open(key)
    assert pictures.seen == [7, 8, 9]  # type: ignore[attr-defined]
    assert films.key(shown) == key
    assert films.open(key) is pictures
    assert films.key([*shown, painted(1)]) != key


def test_what_is_no_picture_is_refused(scripted: ScriptedModel, tmp_path: Path) -> None:
    films = scripted_films(scripted)
    (tmp_path / "text.png").write_text("no picture")
    wrong: list[Any] = [{"array": 1}, np.zeros((4, 4)), str(tmp_path / "text.png"), str(tmp_path / "none.mp4")]
    for shown in wrong:
        with pytest.raises(SourceError):
            films.open(films.key([shown]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no pictures"):
        films.open(films.key([str(tmp_path / "empty")]))


def test_only_the_last_films_stay_open(scripted: ScriptedModel, home: Path) -> None:
    films = scripted_films(scripted, kept=1)
    one, other = (str(home / mini.video) for mini in MINIS[:2])
    for path in (one, one, other, one):
        films.open(films.key([path]))
    assert [path for path, _ in scripted.opened] == [one, other, one]


def test_log_likelihood_is_the_language_models_behind_the_tokens(lm: Any, tiny: LanguageModel, home: Path) -> None:
    (shown,) = asked(lm, home, (MINIS[0].video, "What?"))
    key = str(home / MINIS[0].video)
    visual, doc = shown.args[2], shown.args[3:]
    found = lm.loglikelihood(
        [
            FakeInstance("loglikelihood", ("What?", " a dog", visual, *doc)),
            FakeInstance("loglikelihood", ("What?", lambda _path: " a dog", visual, *doc)),
            FakeInstance("loglikelihood", ("", " a dog")),
        ]
    )
    pairs = lm.answerer.tokens.pairs(key)
    suffix = tiny.embed_text(question_suffix("What?"))
    prompt = torch.cat([embed_segments(tiny, [mark_text(0.0), *pairs]), suffix])
    (wanted,) = likelihoods(tiny, prompt, [" a dog"])
    (blind,) = likelihoods(tiny, tiny.embed_text("\n"), [" a dog"])
    assert found[0] == found[1] == (pytest.approx(wanted.total, abs=1e-3), wanted.greedy)
    assert found[2] == (pytest.approx(blind.total, abs=1e-3), blind.greedy)
    assert found[0][0] != pytest.approx(found[2][0], abs=1e-3)


def test_rounds_go_on_until_the_task_ends_them(lm: Any, home: Path) -> None:
    calls: list[tuple[int, list[str], Any]] = []

    def next_round(doc: str, *, previous_output: list[str], round_idx: int, previous_round_info: Any) -> Any:
        calls.append((round_idx, list(previous_output), previous_round_info))
        assert doc == MINIS[0].video
        over = round_idx == 2
        return None, None if over else "How many?", over, previous_output, f"after {round_idx}"

    (first,) = asked(lm, home, (MINIS[0].video, "Who?"))
    context, arguments, visual, *doc = first.args
    request = FakeInstance("generate_until_multi_round", (context, arguments, visual, next_round, *doc))
    assert lm.generate_until_multi_round([request]) == [["Asked: Who?", "0 1 2"]]
    assert calls == [(1, ["Asked: Who?"], None), (2, ["Asked: Who?", "0 1 2"], "after 1")]


def test_route_tokens_and_no_video_ask_the_language_model(tiny: LanguageModel, home: Path) -> None:
    scripted = ScriptedModel(tiny, SEEN)
    answerer = Answerer(scripted_films(scripted), route="tokens")
    key = str(home / MINIS[0].video)
    question = "What is seen?"
    assert answerer.answer(key, question) == answerer.tokens.ask(key, [question])[0].strip()
    assert answerer.answer("", question) == answerer.tokens.ask_blind([question])[0].strip()
    assert answerer.answer("", question) != answerer.answer(key, question)
    choices = read_prompt(MINIS[0].prompts[0]).choices
    assert choices is not None
    worth = answerer._chooser.weigh(choices, answerer.tokens.pairs(key))
    assert answerer.choose(key, choices) == worth.index(max(worth)), "no picture is scored on this route"


@pytest.mark.parametrize(
    ("context", "question", "brief"),
    [
        ("<image>\nWho is it?\nAnswer the question using a single word or phrase.", "Who is it?", True),
        ("is it a dog\nAnswer a question using a short phrase or sentence.", "is it a dog", True),
        ("Is it a dog? Please answer yes or no.", "Is it a dog?", False),
        ("What is the best answer here?", "What is the best answer here?", False),
        ("Only give the best option.", "Only give the best option.", False),
    ],
)
def test_instructions_are_no_part_of_a_question(context: str, question: str, brief: bool) -> None:
    found = read_prompt(context)
    assert (found.question, found.brief, found.choices) == (question, brief, None)


def test_subtitles_before_a_question_are_left_out() -> None:
    prompt = MINIS[1].prompts[0]
    found = read_prompt(f"This video's subtitles are listed below: \nA. one\nB. two\n{prompt}")
    assert found == read_prompt(prompt)
    assert found.choices is not None
    assert found.choices.question == "What is seen?"
    assert found.choices.options == ("Blocks.", "A dog.", "Snow.", "A cake.")


def test_settings() -> None:
    given = Settings.of({"pretrained": "here", "fps": "2", "route": "tokens", "batch_size": 1, "device": None})
    assert given == Settings(model="here", fps=2.0, route="tokens")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 8}, "there is no 'frames'; known: model, route"),
        ({"route": "best"}, "route is all or tokens"),
        ({"fps": "many"}, "are numbers"),
        ({"fps": 0}, "above 0"),
        ({"films": 0}, "1 or more"),
    ],
)
def test_wrong_settings_are_named(plugin: ModuleType, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plugin.LlamaVidLive(**arguments)


def test_a_rank_takes_its_number_and_device_from_the_launcher(
    lm: Any, plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (lm.rank, lm.world_size, lm.device, lm.batch_size) == (0, 1, torch.device("cpu"), 1)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    other = plugin.LlamaVidLive(device="cuda")
    assert (other.rank, other.world_size, other.device) == (3, 4, torch.device("cuda:1"))


def test_the_entry_point_names_the_model(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["llama_vid_live"].partition(":")
    registry = ModuleType("lmms_eval.models.registry_v2")
    registry.ModelManifest = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lmms_eval.models", ModuleType("lmms_eval.models"))
    monkeypatch.setitem(sys.modules, "lmms_eval.models.registry_v2", registry)
    found = getattr(importlib.import_module(module), name)()
    where, _, cls = found.simple_class_path.rpartition(".")
    assert getattr(importlib.import_module(where), cls) is plugin.LlamaVidLive
    assert plugin.LlamaVidLive.is_simple
    assert found.model_id == "llama_vid_live"
    assert "llama_vid" not in (found.model_id, *found.aliases), "lmms-eval has a model of that name"


def test_the_miniatures_fit_into_json() -> None:
    for mini in MINIS:
        assert json.loads(json.dumps(mini.rows)) == list(mini.rows)
        assert len(mini.prompts) == len(mini.rows)
