"""What a run of stages 1 and 2 can be told; the recipe `align` fills it in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """The recipe of one run. `seconds` of language-model steps after `warm_seconds` of warm start.

    A step fills `rows` rows of `length` slots. `clips_first` and `clips_last` are the share of clips made of photos at
    the start and the end, between which it grows; `recalled` the share of those that end in an evidence block; `films`
    the share of rendered films, where there are any; `most_frames` how many frames a memory may hold (0: any number);
    `guided` the share of steps that read with a guide. `compiled` fuses the decoder's step with torch.compile, which
    takes a while before the first step.
    """

    seconds: float
    warm_seconds: float = 240.0
    rows: int = 8
    length: int = 288
    rank: int = 16
    compressor_rate: float = 6e-4
    lora_rate: float = 6e-4
    decay: float = 0.02
    seed: int = 0
    checkpoint_seconds: float = 300.0
    warm_rate: float = 8e-4
    warm_batch: int = 128
    clips_first: float = 0.15
    clips_last: float = 0.45
    recalled: float = 0.25
    films: float = 0.2
    most_frames: int = 0
    guided: float = 0.2
    report_steps: int = 20
    compiled: bool = True
