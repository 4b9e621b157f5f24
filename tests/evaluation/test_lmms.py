"""Each benchmark's requests, in miniature, are answered as its task reads answers; what goes wrong is counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.lmms.answering import Answerer, Settings
from llama_vid.errors import ConfigError, SourceError
from llama_vid.llm.language import LanguageModel
from tests.conftest import painted, write_video
from tests.evaluation.lmms_fake import FakeInstance, ScriptedModel, modules, requests, scripted_films
from tests.evaluation.lmms_mini import MINIS, Mini, write
from tests.llm.conftest import save_tiny

#: The options that the scripted model sees in the pictures: those that the miniatures count as right.
SEEN = ("a counting picture", "Blocks.", "white blocks")
WANTED = {
    "mvbench": ["B"],
    "videomme": ["A"],
    "activitynetqa": ["No", "Asked: What is in the video?"],
    "nextqa_mc": ["C"],
    "nextqa_oe": ["No"],
    "videochatgpt_gen": ["Asked: What is happening in the video?"],
    "videochatgpt_temporal": ["Asked: What happens first?"],
    "videochatgpt_consistency": ["Asked: What is seen?", "Asked: What does the video show?"],
}


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return LanguageModel.load(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HF_HOME with three seconds of video where every task looks for its own."""
    folder = tmp_path_factory.mktemp("mini")
    video = write_video(folder / "v.mp4", [painted(second) for second in (5, 6, 7)])
    return write(folder, Path("tasks"), video)[1]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin's class over the fake of lmms-eval, whether the real one is installed or not."""
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "evaluation.lmms.model", raising=False)
    import evaluation.lmms.model as found

    yield found
    sys.modules.pop("evaluation.lmms.model", None)


def scripted(plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, **arguments: Any) -> Any:
    """The plugin's model over a scripted one, made as lmms-eval makes it."""
    model = ScriptedModel(language, SEEN)
    monkeypatch.setattr(
        plugin.LlamaVidLive,
        "_films",
        lambda _self, settings: scripted_films(model, fps=settings.fps, kept=settings.films),
    )
    made = plugin.LlamaVidLive(batch_size=1, max_batch_size=None, device="cpu", **arguments)
    made.scripted = model
    return made


@pytest.mark.parametrize("mini", MINIS, ids=lambda mini: mini.name)
def test_each_benchmark(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, home: Path, mini: Mini
) -> None:
    model = scripted(plugin, monkeypatch, language, model="mini", fps="2")
    said = model.generate_until(requests(model, mini, home))
    assert said == WANTED[mini.name]
    assert model.scripted.opened == [(str(home / mini.video), 2.0)], "opened once for all questions"
    assert [kind for kind, _, _ in model.cache_hook.taken] == ["generate_until"] * len(said)
    assert model.unreadable == 0


def test_the_token_route_has_only_tokens(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, home: Path
) -> None:
    model = scripted(plugin, monkeypatch, language, route="tokens")
    for mini in MINIS:
        asked = requests(model, mini, home)
        said = model.generate_until(asked)
        assert not any(text.startswith("Asked") for text in said), "the whole program took part"
        if mini.name in ("mvbench", "videomme", "nextqa_mc"):
            assert said[0] in "ABCDE"
            assert len(said[0]) == 1


def test_questions_about_one_video_are_asked_together_and_answered_in_order(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, tmp_path: Path
) -> None:
    model = scripted(plugin, monkeypatch, language, films=1)
    videos = [
        str(write_video(tmp_path / f"{name}.mp4", [painted(second) for second in seconds]))
        for name, seconds in (("a", (1, 2)), ("b", (30, 40)))
    ]
    model.task_dict["t"] = {"test": [{"video": videos[number % 2]} for number in range(4)]}
    asked = [
        FakeInstance(
            "generate_until", ("How many are seen?", {"until": "3"}, lambda doc: doc["video"], number, "t", "test")
        )
        for number in range(4)
    ]
    assert model.generate_until(asked) == ["1 2", "", "1 2", ""]  # up to the first 3
    assert [Path(path).name for path, _ in model.scripted.opened] == ["a.mp4", "b.mp4"]


def test_a_video_that_is_not_there_is_counted_and_costs_only_its_own_questions(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, home: Path
) -> None:
    model = scripted(plugin, monkeypatch, language)
    good = next(mini for mini in MINIS if mini.name == "mvbench")
    asked = requests(model, good, home)
    context, arguments, _, doc_id, task, split = asked[0].args
    asked.append(
        FakeInstance("generate_until", (context, arguments, lambda _: ["/not/there.mp4"], doc_id, task, split))
    )
    assert model.generate_until(asked) == ["B", plugin.UNREADABLE]
    assert model.unreadable == 1


def test_rounds_go_on_until_the_task_ends_them(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, home: Path
) -> None:
    model = scripted(plugin, monkeypatch, language)
    video = str(home / MINIS[0].video)
    model.task_dict["t"] = {"test": [{}]}

    def further(doc: Any, previous_output: Any, round_idx: int, previous_round_info: Any) -> Any:
        said = [*previous_output[:-1], f"{previous_output[-1]}!"]
        return None, "Is there a dog?", round_idx == 2, said, round_idx

    request = FakeInstance(
        "generate_until_multi_round", ("How many are seen?", {}, lambda _: [video], further, 0, "t", "test")
    )
    assert model.generate_until_multi_round([request]) == [["5 6 7!", "No, I have not seen a dog.!"]]


def test_likelihoods_are_those_behind_the_film(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, language: LanguageModel, home: Path
) -> None:
    model = scripted(plugin, monkeypatch, language)
    video = str(home / MINIS[0].video)
    model.task_dict["t"] = {"test": [{"answer": " Yes"}]}

    def weighed(*shown: str, target: Any = " Yes") -> tuple[float, bool]:
        request = FakeInstance("loglikelihood", ("Is it?", target, lambda _: list(shown), 0, "t", "test"))
        (found,) = model.loglikelihood([request])
        return float(found[0]), bool(found[1])

    with_film, blind = weighed(video), weighed()
    assert with_film[0] < 0 > blind[0]
    assert with_film != blind
    assert weighed(video, target=lambda doc: doc["answer"]) == with_film
    assert weighed("/not/there.mp4") == blind
    assert model.unreadable == 1
    unconditional = FakeInstance("loglikelihood", ("", " Yes"))
    assert model.loglikelihood([unconditional])[0][0] < 0


def test_without_a_film_the_language_model_answers_alone(language: LanguageModel) -> None:
    model = ScriptedModel(language, SEEN)
    answerer = Answerer(scripted_films(model))
    assert answerer.answer("", "Which?\nA. cat\nB. dog") in ("A", "B")
    assert isinstance(answerer.answer("", "What is it?", max_tokens=4), str)
    assert len(language.tokenize(answerer.answer("", "What is it?", max_tokens=4))) <= 4
    assert model.opened == []


def test_folders_and_pictures_are_films(language: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (2, 10, 1):
        Image.fromarray(painted(number)).save(folder / f"{number}.png")
    films = scripted_films(ScriptedModel(language, SEEN), folder_fps=2.0)
    film: Any = films.open(films.key([str(folder)]))
    assert film.seen == [1, 2, 10], "by number, not by letter"
    assert [entry.start for entry in film.entries] == [0.0, 0.5, 1.0]
    pictures = [Image.fromarray(painted(4)), painted(9), str(folder / "10.png")]
    key = films.key(pictures)
    shown: Any = films.open(key)
    assert shown.seen == [4, 9, 10]
    assert films.key(pictures) == key != films.key(pictures[:2])
    assert films.open(key) is shown


def test_several_videos_follow_one_another(language: LanguageModel, home: Path) -> None:
    video = str(home / MINIS[0].video)
    films = scripted_films(ScriptedModel(language, SEEN))
    film: Any = films.open(films.key([video, video]))
    assert film.seen == [5, 6, 7, 5, 6, 7]
    assert [entry.pair.cut for entry in film.entries] == [False, False, False, True, False, False]
    assert [entry.start for entry in film.entries] == [0, 1, 2, 3, 4, 5]


def test_what_cannot_be_shown_says_so(language: LanguageModel, tmp_path: Path) -> None:
    films = scripted_films(ScriptedModel(language, SEEN))
    assert films.key([]) == ""
    with pytest.raises(SourceError, match="holds no pictures"):
        films.open(films.key([str(tmp_path)]))
    with pytest.raises(SourceError, match="dict cannot be shown"):
        films.key([{"audio": 1}])
    with pytest.raises(SourceError, match=r"uint8, not \(2, 2\)"):
        films.key([np.zeros((2, 2))])
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(SourceError, match="is no picture"):
        films.open(films.key([str(tmp_path / "bad.png")]))


def test_model_arguments() -> None:
    assert Settings.of({"pretrained": "other", "fps": "0.5", "batch_size": 1, "max_batch_size": None}) == Settings(
        model="other", fps=0.5
    )
    for arguments, message in (
        ({"modle": "mini"}, "no 'modle'; known: model, route"),
        ({"route": "both"}, "route is all or tokens, not 'both'"),
        ({"fps": "fast"}, "are numbers"),
        ({"fps": 0}, "above 0"),
        ({"films": 0}, "1 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            Settings.of(arguments)
