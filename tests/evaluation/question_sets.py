"""A small folder of clips with every question file, for the evaluations of answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_folder(
    folder: Path,
    clips: Sequence[dict[str, Any]],
    *,
    yesno: Sequence[tuple[str, str, str]] = (),
    rules: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write clips.jsonl (files that are not there become one byte), yesno.jsonl and rules.jsonl into a folder."""
    for clip in clips:
        path = folder / clip["file"]
        if not path.exists():
            path.write_bytes(b"x")
    asked = [
        {"file": file, "concept": concept, "question": f"Is there a {concept}?", "answer": answer}
        for file, concept, answer in yesno
    ]
    for name, rows in (("clips", clips), ("yesno", asked), ("rules", rules)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def clip(index: int, caption: str = "A dog runs.", qa: Sequence[tuple[str, str]] = (), kind: str = "animal") -> Any:
    """A line of clips.jsonl."""
    questions = [{"q": question, "a": answer} for question, answer in qa]
    return {"index": index, "file": f"{index}.mp4", "kind": kind, "seconds": 6.0, "caption": caption, "qa": questions}
