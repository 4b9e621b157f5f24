"""lmms-eval itself, where it is installed: the version, its interface as the fake has it, its prompts and readers."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evaluation.lmms.prompts import read_prompt
from tests.conftest import ROOT
from tests.evaluation.lmms_fake import VERSION, FakeInstance, FakeLmms
from tests.evaluation.lmms_mini import MINIS

if find_spec("lmms_eval") is None:
    pytest.skip("lmms-eval is not installed (requirements-lmms.txt)", allow_module_level=True)


def test_the_version_is_the_one_that_is_pinned() -> None:
    assert version("lmms_eval") == VERSION
    assert f"lmms_eval=={VERSION}\n" in (ROOT / "requirements-lmms.txt").read_text()


def test_the_fake_is_as_the_real_one() -> None:
    real = importlib.import_module("lmms_eval.api.model").lmms
    assert real.__abstractmethods__ == FakeLmms.__abstractmethods__
    assert real.is_simple is FakeLmms.is_simple
    made = type("Made", (real,), dict.fromkeys(real.__abstractmethods__))()
    fake: Any = type("Made", (FakeLmms,), dict.fromkeys(FakeLmms.__abstractmethods__))()
    assert set(vars(fake)) <= set(vars(made))
    assert (made._rank, made._world_size, made.task_dict) == (fake._rank, fake._world_size, fake.task_dict)
    signature = inspect.signature(type(made.cache_hook).add_partial)
    assert list(signature.parameters) == list(inspect.signature(type(fake.cache_hook).add_partial).parameters)
    instance = importlib.import_module("lmms_eval.api.instance").Instance
    assert {field.name for field in fields(FakeInstance)} <= {field.name for field in fields(instance)}
    assert instance("generate_until", ("a", "b"), 0, {"task": "t", "doc_id": 0, "repeats": 1}).args == ("a", "b")


def test_it_finds_and_makes_the_plugin() -> None:
    from evaluation.lmms import manifest

    named = manifest()
    module, name = named.simple_class_path.rsplit(".", 1)
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, importlib.import_module("lmms_eval.api.model").lmms)
    assert not found.__abstractmethods__
    assert found.is_simple


#: Where each task makes its prompt, and what its task file adds.
PROMPTS = {
    "mvbench": ("mvbench", "mvbench_doc_to_text", {"post_prompt": "Only give the best option.\n"}),
    "videomme": (
        "videomme",
        "videomme_doc_to_text",
        {"pre_prompt": "", "post_prompt": "\nAnswer with the option's letter from the given choices directly."},
    ),
    "activitynetqa": (
        "activitynetqa",
        "activitynetqa_doc_to_text",
        {"post_prompt": " Answer the question using a single word or phrase."},
    ),
    "videochatgpt_gen": ("videochatgpt", "videochatgpt_doc_to_text", {}),
    "videochatgpt_temporal": ("videochatgpt", "videochatgpt_doc_to_text", {}),
    "videochatgpt_consistency": ("videochatgpt", "videochatgpt_doc_to_text_consistency", {}),
    "nextqa_mc": ("nextqa", "nextqa_doc_to_text_mc", {}),
    "nextqa_oe": (
        "nextqa",
        "nextqa_doc_to_text",
        {"pre_prompt": "", "post_prompt": "\nAnswer a question using a short phrase or sentence."},
    ),
}


@pytest.mark.parametrize("mini", MINIS, ids=lambda mini: mini.name)
def test_its_prompts_are_the_miniatures(mini: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder, name, further = PROMPTS[mini.name]
    task = importlib.import_module(f"lmms_eval.tasks.{folder}.utils")
    made = [getattr(task, name)(row, further) for row in mini.rows]
    assert made == list(mini.prompts)
    assert all(read_prompt(text).question for text in made)
