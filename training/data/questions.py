"""Videos with questions: Video-ChatGPT, ActivityNet-QA, NExT-QA."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llama_vid.errors import ConfigError
from training.data.example import BadRecord, Draft, Problem, Reason, Turn
from training.data.form import Entry, Format, Sample, Skip, Span, checked, mapping, text
from training.data.json_arrays import JsonArrays
from training.data.records import JsonLines, Table


class VideoChatGPT(Format):
    """Video-ChatGPT's instructions: a list of objects with `q`, `a` and `video_id` (the name of an ActivityNet video).

    Source: Maaz et al. 2023, https://arxiv.org/abs/2306.05424 and https://github.com/mbzuai-oryx/Video-ChatGPT (keys as
    in its convert_instruction_json_to_training_format.py); texts by its own non-commercial licence, videos by
    ActivityNet's terms.
    """

    name, title = "video-chatgpt", "Video-ChatGPT instructions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (JsonLines(path) if path.suffix == ".jsonl" else JsonArrays(path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        return not sample.part and {"q", "a"} <= sample.keys

    def draft(self, values: Sequence[Any]) -> Draft:
        record = mapping(values[0])
        video, turn = text(record, "video_id"), Turn(text(record, "q"), text(record, "a"))
        return Draft((video,), "video", f"{video}\n{turn.question}\n{turn.answer}", (), (turn,))


class ActivityNetQA(Format):
    """ActivityNet-QA: `train_q.json` (video_name, question, question_id), `train_a.json` (answer, type, question_id).

    Either file names the data set; a video is stored as `v_NAME` or `NAME`. Questions are lower case without a question
    mark, and are left so.

    Source: Yu et al. 2019, https://arxiv.org/abs/1906.02467 and https://github.com/MILVLG/activitynet-qa
    (dataset/README.md); MIT, videos by ActivityNet's terms.
    """

    name, title = "activitynet-qa", "ActivityNet-QA questions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        stem = path.stem
        if not re.search(r"_[qa]$", stem):
            raise ConfigError(f"{path}: ActivityNet-QA is two files, NAME_q.json and NAME_a.json; give one of them")
        files = [path.with_name(f"{stem[:-1]}{side}{path.suffix}") for side in "qa"]
        for file in files:
            if not file.is_file():
                raise ConfigError(f"{path} needs {file.name} beside it: questions and answers are two files")
        self.readers = (JsonArrays(files[0]), JsonArrays(files[1]))

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        return not sample.part and "question_id" in sample.keys and bool({"video_name", "answer"} & sample.keys)

    def entries(self, skip: Skip) -> Iterator[Entry]:
        answers: dict[str, Span] = {}
        places = {}
        for raw in self.readers[1].scan():
            try:
                if raw.problem is not None:
                    raise raw.problem
                record = mapping(raw.value)
                number = text(record, "question_id")
                text(record, "answer")
                if number in answers:
                    raise BadRecord(Reason.DUPLICATE, f"a second answer to {number}")
                answers[number], places[number] = (1, raw.offset, raw.length), raw.place
            except BadRecord as problem:
                skip(Problem(problem.reason, raw.place, problem.detail))
        asked: set[str] = set()
        for raw in self.readers[0].scan():
            try:
                if raw.problem is not None:
                    raise raw.problem
                number = text(mapping(raw.value), "question_id")
                if number in asked:
                    raise BadRecord(Reason.DUPLICATE, f"question {number}")
                asked.add(number)
                if number not in answers:
                    raise BadRecord(Reason.UNANSWERED, number)
                answer = answers[number]
                draft = self.draft([raw.value, self.readers[1].read(*answer[1:])])
            except BadRecord as problem:
                skip(Problem(problem.reason, raw.place, problem.detail))
            else:
                yield Entry(((0, raw.offset, raw.length), answer), raw.place, draft)
        for number, place in places.items():
            if number not in asked:
                skip(Problem(Reason.UNASKED, place, number))

    def draft(self, values: Sequence[Any]) -> Draft:
        record, answer = mapping(values[0]), mapping(values[1])
        video = text(record, "video_name")
        turn = Turn(text(record, "question"), text(answer, "answer"))
        return Draft((f"v_{video}", video), "video", text(record, "question_id"), (), (turn,))


class NextQA(Format):
    """NExT-QA's tables: video, frame_count, width, height, question, answer, qid, type and, in multiple choice, the
    options a0–a4, of which `answer` is the number; open-ended, `answer` is the text.

    Videos are named by VidOR's folders where `map_vid_vidorID.json` lies beside the table, else by their number.

    Source: Xiao et al. 2021, https://arxiv.org/abs/2105.08276, https://github.com/doc-doc/NExT-QA (multiple choice) and
    https://github.com/doc-doc/NExT-OE (open-ended); MIT, videos of VidOR by their own terms (YFCC100M).
    """

    name, title = "next-qa", "NExT-QA questions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (Table(path),)
        self._folders = self._map(path.with_name("map_vid_vidorID.json"))

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        return {"video", "question", "answer", "qid"} <= set(sample.columns)

    def draft(self, values: Sequence[Any]) -> Draft:
        row = mapping(values[0])
        video, question, answer = text(row, "video"), text(row, "question"), text(row, "answer")
        names = tuple(dict.fromkeys((self._folders.get(video, video), video)))
        key = f"{video}/{text(row, 'qid')}"
        if "a0" not in row:
            return Draft(names, "video", key, (), (Turn(question, answer),))
        options = tuple(text(row, name) for name in sorted(name for name in row if re.fullmatch(r"a\d", name)))
        if not answer.isdecimal() or int(answer) >= len(options):
            raise BadRecord(Reason.NOT_AN_OPTION, f"{answer!r} of {len(options)} options")
        right = int(answer)
        return Draft(names, "video", key, (), (Turn(question, options[right], options, right),))

    def media_folders(self) -> list[Path]:
        near = self.path.parent
        return [near / "NExTVideo", *super().media_folders()]

    @staticmethod
    def _map(file: Path) -> dict[str, str]:
        """VidOR's folder of each video; empty if the map is not there. Raises ConfigError."""
        if not file.is_file():
            return {}
        try:
            found = json.loads(file.read_text("utf-8"))
            return {str(video): checked(name, video) for video, name in mapping(found).items()}
        except (OSError, ValueError, BadRecord) as problem:
            raise ConfigError(f"{file} is not a JSON object of video numbers and folders ({problem})") from None
