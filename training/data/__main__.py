"""`python -m training.data PATH [--format NAME] [--media FOLDER] [--split NAME]`: what a data set is and holds.

Prints what was recognised, the counts, three examples, and the records that cannot be used with their file and line.
Exit status: 0; 1 if nothing can be used; 2 for a file that cannot be read or is in no known format.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from llama_vid.errors import ConfigError
from training.data.dataset import FORMATS, Dataset, open_dataset
from training.data.example import Example
from training.data.segments import questions_of

SHOWN = 3


def described(example: Example) -> list[str]:
    """An example in a few lines for people."""
    span = f", {example.span[0]:g}–{example.span[1]:g} s" if example.span else ""
    lines = [f"  {example.kind} {example.name}{span}, line {example.source.line}, record {example.source.record}"]
    lines += [f"    caption: {caption}" for caption in example.captions[:SHOWN]]
    for question, answer in questions_of(example)[:SHOWN]:
        lines += [f"    question: {question}", f"    answer: {answer}"]
    return lines


def main(words: list[str] | None = None) -> int:
    """The check; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description="What a data set is and holds.")
    parser.add_argument("path", type=Path, help="an annotation file, or a folder")
    parser.add_argument("--format", default="auto", help=f"auto, {', '.join(kind.name for kind in FORMATS)}")
    parser.add_argument("--media", type=Path, help="the folder with the photos or videos")
    parser.add_argument("--split", help="train, val, dev or test, where a data set has several")
    parser.add_argument("--bad", type=int, default=20, help="so many bad records are shown (20)")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object")
    told = parser.parse_args(words)
    try:
        data = open_dataset(told.path, told.format, told.media, split=told.split)
    except ConfigError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return problem.exit_code
    print(json.dumps(data.summary.to_json(), ensure_ascii=False) if told.json else "\n".join(_report(data, told.bad)))
    return 0 if len(data) else 1


def _report(data: Dataset, bad: int) -> list[str]:
    first, *rest = data.summary.lines(bad)
    lines = [first, rest.pop(0)]
    for number in sorted({0, len(data) // 2, len(data) - 1}) if len(data) else ():
        lines += described(data[number])
    return [*lines, *rest]


if __name__ == "__main__":
    sys.exit(main())
