"""Photos and videos with conversations, in the files that vision-language models are tuned on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from training.data.example import BadRecord, Draft, Kind, Reason, Turn
from training.data.form import Format, Sample, checked, mapping, text
from training.data.json_arrays import JsonArrays
from training.data.media import kind_of
from training.data.records import JsonLines

ASKS: Final = ("human", "user")
ANSWERS: Final = ("gpt", "assistant")


class Conversations(Format):
    """LLaMA-VID's own data, as LLaVA's: a list of objects with `id`, `image` or `video`, and `conversations` of turns
    `{from: human|gpt, value}` with `<image>` where the photo or video stands.

    Also read: `messages` of turns `{role: user|assistant, content}` with lists `images` or `videos` of one file
    (LLaMA-Factory), and JSON lines. A system turn is left out, so is an answer before the first question, as in LLaVA.
    Records without photo or video are counted and skipped. The file is read record by record: the 1 GB of
    llava_v1_5_mix665k.json needs no more memory than a small one.

    Source: Li et al. 2023, https://arxiv.org/abs/2311.17043, https://github.com/dvlab-research/LLaMA-VID
    (scripts/convert_webvid_to_llava.py, llamavid/train/train.py); https://github.com/haotian-liu/LLaVA
    (docs/Finetune_Custom_Data.md); https://github.com/hiyouga/LLaMA-Factory (data/README.md). CC BY-NC 4.0 for LLaVA's
    and LLaMA-VID's texts (made with GPT-4), media by their own terms.
    """

    name, title = "llama-vid", "LLaMA-VID conversations"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (JsonLines(path) if path.suffix == ".jsonl" else JsonArrays(path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        return not sample.part and bool({"conversations", "messages"} & sample.keys)

    def draft(self, values: Sequence[Any]) -> Draft:
        record = mapping(values[0])
        name, kind = self._medium(record)
        turns = self._turns(record)
        told = hashlib.blake2b("\n".join((name, *(t.question + "\n" + t.answer for t in turns))).encode())
        # An `id` is no key: LLaVA's are those of the photos, and stand before several conversations.
        return Draft((name,), kind, told.hexdigest(), (), turns)

    @staticmethod
    def _medium(record: dict[str, Any]) -> tuple[str, Kind]:
        for key, kind in (("image", "image"), ("video", "video"), ("images", "image"), ("videos", "video")):
            found = record.get(key)
            if found is None or found == []:
                continue
            if isinstance(found, list):
                if len(found) > 1:
                    raise BadRecord(Reason.WRONG_TYPE, f"{key!r} names {len(found)} files, one is what a memory is of")
                found = found[0]
            name = checked(found, key)
            # Some lists name videos under `image`, as the program reads both alike.
            return name, kind_of(name) or ("image" if kind == "image" else "video")
        raise BadRecord(Reason.TEXT_ONLY, str(record.get("id", "without id")))

    @staticmethod
    def _turns(record: dict[str, Any]) -> tuple[Turn, ...]:
        key = "conversations" if "conversations" in record else "messages"
        said = record.get(key)
        if said is None:
            raise BadRecord(Reason.MISSING_KEY, "'conversations'")
        if not isinstance(said, list):
            raise BadRecord(Reason.WRONG_TYPE, f"{key!r} is not a list of turns")
        turns: list[Turn] = []
        question: str | None = None
        for value in said:
            turn = mapping(value)
            who = text(turn, "from" if "from" in turn else "role")
            if who == "system":
                continue
            words = text(turn, "value" if "value" in turn else "content")
            if who in ASKS and question is None:
                question = words
            elif who in ANSWERS and question is not None:
                turns.append(Turn(question, words))
                question = None
            elif who not in (*ASKS, *ANSWERS):
                raise BadRecord(Reason.TURNS, f"{who!r} is neither {' nor '.join((*ASKS, *ANSWERS))}")
            elif turns or question is not None:
                raise BadRecord(Reason.TURNS, f"two turns of {who!r} in a row")
        if not turns:
            raise BadRecord(Reason.UNANSWERED, "no question has an answer")
        return tuple(turns)
