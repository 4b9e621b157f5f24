"""Each benchmark in miniature: rows with the columns that its task in lmms-eval 0.7.3 reads, and where its video lies.

`write` makes task files that include lmms-eval's own, so that prompts, media and scoring are the real ones; only the
rows are read from a file beside them instead of from the hub.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Mini:
    """A task: its file below `lmms_eval/tasks`, its split, where its video lies below HF_HOME, its rows, its figures.

    `prompts` are what the task's `doc_to_text` makes of the rows.
    """

    name: str
    file: str
    split: str
    video: str
    rows: tuple[dict[str, Any], ...]
    figures: tuple[str, ...]
    prompts: tuple[str, ...]

    @property
    def task(self) -> str:
        return f"mini_{self.name}"


def _videochatgpt(row: dict[str, Any]) -> dict[str, Any]:
    return {"video_name": "v1", "answer": "A blue picture with blocks."} | row


MINIS = (
    Mini(
        "mvbench", "mvbench/mvbench_action_antonym.yaml", "train", "mvbench_video/ssv2_video_mp4/v1.mp4",
        ({"video": "v1.mp4", "question": "What does the video show?", "answer": "a counting picture",
          "candidates": ["a dog in the snow", "a counting picture", "not sure"]},),
        ("mvbench_accuracy",),
        ("Question:What does the video show?\nOption:\n(A) a dog in the snow\n(B) a counting picture\n(C) not sure\n"
         "Only give the best option.\n",),
    ),
    Mini(
        "videomme", "videomme/videomme.yaml", "test", "videomme/data/v1.mp4",
        ({"videoID": "v1", "question_id": "001-1", "question": "What is seen?", "answer": "A", "duration": "short",
          "options": ["A. Blocks.", "B. A dog.", "C. Snow.", "D. A cake."], "domain": "Knowledge",
          "sub_category": "Technology", "task_type": "Object Recognition"},),
        ("videomme_perception_score",),
        ("Select the best answer to the following multiple-choice question based on the video and the subtitles. "
         "Respond with only the letter (A, B, C, or D) of the correct option.\nWhat is seen?\nA. Blocks.\nB. A dog.\n"
         "C. Snow.\nD. A cake.\n\nAnswer with the option's letter from the given choices directly.",),
    ),
    Mini(
        "activitynetqa", "activitynetqa/activitynetqa_generation.yaml", "test", "activitynetqa/all_test/v_v1.mp4",
        ({"video_name": "v1", "question_id": "v1_1", "question": "is there a dog", "answer": "no", "type": "3"},
         {"video_name": "v1", "question_id": "v1_2", "question": "what is in the video", "answer": "blocks",
          "type": "5"}),
        ("gpt_eval_score", "gpt_eval_accuracy"),
        ("Is there a dog? Answer the question using a single word or phrase.",
         "What is in the video? Answer the question using a single word or phrase."),
    ),
    Mini(
        "nextqa_mc", "nextqa/nextqa_mc_test.yaml", "test", "nextqa/NExTVideo/1.mp4",
        ({"video": "1", "question": "what is shown in the video", "answer": 2, "a0": "a dog", "a1": "a cake",
          "a2": "white blocks", "a3": "snow", "a4": "a car", "qid": "0", "type": "DO"},),
        ("exact_match",),
        ("what is shown in the video\nA. a dog\nB. a cake\nC. white blocks\nD. snow\nE. a car",),
    ),
    Mini(
        "nextqa_oe", "nextqa/nextqa_oe_test.yaml", "test", "nextqa/NExTVideo/1.mp4",
        ({"video": "1", "question": "is there a dog", "answer": "no", "qid": "0", "type": "DB",
          "additional_ref_answer": ""},),
        ("WUPS",),
        ("is there a dog\nAnswer a question using a short phrase or sentence.",),
    ),
    Mini(
        "videochatgpt_gen", "videochatgpt/videochatgpt_generic.yaml", "test", "videochatgpt/Test_Videos/v1.mp4",
        (_videochatgpt({"question": "What is happening in the video?"}),),
        ("gpt_eval_score_correctness", "gpt_eval_score_detailed_orientation", "gpt_eval_score_context"),
        ("What is happening in the video?",),
    ),
    Mini(
        "videochatgpt_temporal", "videochatgpt/videochatgpt_temporal.yaml", "test", "videochatgpt/Test_Videos/v1.mp4",
        (_videochatgpt({"question": "What happens first?"}),),
        ("gpt_eval_score_temporal",),
        ("What happens first?",),
    ),
    Mini(
        "videochatgpt_consistency", "videochatgpt/videochatgpt_consistency.yaml", "test",
        "videochatgpt/Test_Videos/v1.mp4",
        (_videochatgpt({"question_1": "What is seen?", "question_2": "None"}),
         _videochatgpt({"question_1": "None", "question_2": "What does the video show?"})),
        ("gpt_eval_score_consistency",),
        ("What is seen?", "What does the video show?"),
    ),
)  # fmt: skip


def write(folder: Path, tasks: Path, video: Path) -> tuple[Path, Path]:
    """The task files, and a HF_HOME with the video where each task looks for it; `tasks` is lmms-eval's own folder."""
    files, home = folder / "tasks", folder / "hf"
    files.mkdir(parents=True)
    for mini in MINIS:
        place = home / mini.video
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, place)
        rows = files / f"{mini.name}.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in mini.rows), encoding="utf-8")
        # JSON is YAML.
        task = {
            "include": str(tasks / mini.file),
            "task": mini.task,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {mini.split: str(rows)}},
            "test_split": mini.split,
        }
        (files / f"{mini.name}.yaml").write_text(json.dumps(task, indent=1), encoding="utf-8")
    return files, home
