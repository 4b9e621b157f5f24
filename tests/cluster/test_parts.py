"""The cluster's parts by themselves, without Ray: what travels, what is asked of a journal that another process has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.capacity import Costs, plan, predicted
from benchmarks.cluster import Load
from llama_vid.alert_desk import PAUSE
from llama_vid.cluster_journal import DistantJournal, FrontJournal, answered
from llama_vid.cluster_wire import Pinned, Steps, Unpacker
from llama_vid.errors import LlamaVidError
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.journal import CameraJournal, Journal
from llama_vid.memory.records import Record, ToldSpan
from llama_vid.tokenizer.pair import TokenPair


def entry(start: float, context: torch.Tensor, motion: torch.Tensor) -> MemoryEntry:
    pair = TokenPair(context, motion, 0.25, held=True, cut=False)
    return MemoryEntry(start, start + 1, pair, torch.arange(4).half(), 1, 0.25, 3, pinned=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_steps_travel_whole_and_shared_tensors_stay_one(dtype: torch.dtype) -> None:
    held, still = torch.randn(6).to(dtype), torch.randn(6).to(dtype)
    unpacker = Unpacker()
    first = unpacker.unpack(Steps.of([entry(0, held, still), Pinned(0, 5), entry(1, held, torch.ones(6).to(dtype))]))
    later = unpacker.unpack(Steps.of([entry(2, held, still)]))
    one, pin, two, three = (*first, *later)
    assert isinstance(one, MemoryEntry)
    assert isinstance(two, MemoryEntry)
    assert isinstance(three, MemoryEntry)
    assert pin == Pinned(0, 5)
    assert torch.equal(one.pair.context, held)
    assert one.pair.context.dtype is dtype
    assert one.pair.context is two.pair.context is three.pair.context, "a still scene is told by identity"
    assert one.pair.motion is three.pair.motion
    assert (one.start, one.end, one.energy, one.scene, one.pinned, one.pair.held) == (0, 1, 0.25, 3, True, True)
    assert torch.equal(one.embedding, torch.arange(4).half())
    assert Unpacker().unpack(Steps.of([])) == []


def test_a_distant_journal_asks_for_everything_that_one_has() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(CameraJournal) <= public(DistantJournal)


def test_the_front_s_journal_keeps_pauses_and_asks_the_owner_for_the_rest(tmp_path: Path) -> None:
    with (
        FrontJournal(tmp_path, kinds=(PAUSE,)) as front,
        Journal(front.camera_folder("door"), epoch=1) as owned,
    ):
        door = owned.camera("door")
        front.owner = lambda name: (lambda method, *more: answered(door, method, more)) if name == "door" else None
        seen = front.camera("door")
        seen.tell(ToldSpan(0, 5, "a dog", 0.1))
        seen.note(Record(PAUSE, 1, 1, "paused"))
        seen.note(Record("note", 2, 3, "theirs"))
        door.append(entry(4, torch.ones(6), torch.zeros(6)))
        door.picture(4.0, b"jpeg")
        assert seen.flush()
        assert front.flush()
        assert [span.caption for span in seen.told(0, 9)] == ["a dog"]
        assert [record.text for record in seen.records(PAUSE, 0, 9)] == ["paused"]
        assert [record.text for record in door.records("note", 0, 9)] == ["theirs"]
        assert door.records(PAUSE, 0, 9) == []
        assert [found.start for found in seen.entries(0, 9)] == [4]
        assert [found.start for found in seen.restore()] == [4]
        assert [starts for starts, _, _ in seen.embeddings()] == [[4.0]]
        assert list(seen.pictures(0, 9)) == [(4.0, b"jpeg")]
        assert seen.kept(None) == (4.0, b"jpeg")
        assert seen.jpeg(3.0) == b"jpeg"
        assert seen.said("note", 0, 9, 5) == [(2.0, 3.0, "theirs")]
        front.owner = lambda name: None
        assert [span.caption for span in seen.told(0, 9)] == ["a dog"], "nobody has it: the folder is read"
        assert front.cameras() == ["door"]
        with pytest.raises(LlamaVidError, match="no worker"):
            seen.forget(0, 9).result()


def test_capacity_grows_with_cameras_and_predicts_what_it_was_fitted_to() -> None:
    load = Load(
        4, 10.0, 40, {"workers": 2.0, "tower": 1.2, "language_model": 4.0, "front": 0.1, "ray_itself": 0.5},
        {"workers": 900.0, "tower": 500.0, "language_model": 1500.0},
        {"frames_encoded": 20, "to_tower": 20 * 202_800, "from_tower": 20 * 208_384, "to_language_model": 40 * 3_000},
    )  # fmt: skip
    costs = Costs.fitted(load)
    same = predicted(costs, 4, load.encoded_share)
    assert same["cores"] == pytest.approx(sum(load.cpu_s.values()) / load.seconds)
    assert same["mb_a_second_to_tower"] == pytest.approx(20 * 202_800 / 1e6 / 10)
    twice = predicted(costs, 8, load.encoded_share)
    assert twice["cores_workers"] == pytest.approx(2 * same["cores_workers"])
    assert twice["cores_language_model"] == same["cores_language_model"], "idle work is no cost of a camera"
    small, large = plan(costs, 100, 1.0), plan(costs, 10_000, 1.0)
    assert large["workers"] >= 10_000 / 50
    assert large["cores"] > 50 * small["cores"]
    assert plan(costs, 1, 0.1)["workers"] == 2, "one worker alone cannot be replaced in ten seconds"
