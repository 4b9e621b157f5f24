"""Whoever watches along hears of every remembered frame once, with its patch features where something was new."""

from __future__ import annotations

import pytest
import torch

from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.seen import Seen
from tests.bundles import film, mini

pytestmark = [pytest.mark.model]


def test_every_remembered_frame_is_told() -> None:
    from llama_vid.recorder import Recorder
    from llama_vid.stream.file import FileSource

    street = list(FileSource(film()))
    still = [Frame(10.0 + second, street[0].image, gap=second == 0) for second in range(4)]
    recorder = Recorder(mini())
    recorder.add(street[:1])  # nobody watches along yet
    told: list[Seen] = []
    recorder.on_seen = told.append
    recorder.add([*street[1:], *still])
    assert [seen.seconds for seen in told] == [float(second) for second in range(1, 14)]
    assert [seen.end for seen in told] == [seen.seconds + 1 for seen in told]
    assert [seen.gap for seen in told] == [False] * 9 + [True] + [False] * 3
    # A still frame has nothing new; what is new has the very features that its embedding was made of.
    assert [seen.patches is None for seen in told[9:]] == [False, True, True, True]
    fresh = [seen for seen in told if seen.patches is not None]
    assert len(fresh) >= 8
    tower = recorder.bundle.tower
    again = tower.encode([street[3].image])
    patches = told[2].patches
    assert patches is not None
    cosine = torch.nn.functional.cosine_similarity(patches.flatten(), again.patches[0].flatten(), dim=0)
    assert float(cosine) > 0.99
    assert float(told[2].embedding.float() @ again.embedding[0].cpu()) > 0.99
    torch.testing.assert_close(told[12].embedding, told[9].embedding)


def test_frames_of_a_clock_that_was_set_back_come_with_memorys_times() -> None:
    from llama_vid.recorder import Recorder
    from llama_vid.stream.file import FileSource

    (first, *_) = FileSource(film())
    recorder = Recorder(mini())
    recorder.add([Frame(100.0, first.image)])
    again = Recorder(recorder.bundle)
    again.bank.restore(recorder.bank.entries)
    told: list[Seen] = []
    again.on_seen = told.append
    again.add([Frame(50.0, first.image)])
    assert told[0].seconds == recorder.end
