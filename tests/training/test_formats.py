"""Every format: recognised, read, its bad records named by file, line and reason, and skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_vid.errors import ConfigError
from training.data import __main__ as check
from training.data.dataset import Dataset, open_dataset
from training.data.example import QUIET, Reason, Turn


def put(path: Path, content: str | bytes | object) -> Path:
    """A file with this text, these bytes, or this value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def media(folder: Path, *names: str) -> Path:
    for name in names:
        put(folder / name, name)
    return folder


def bad(data: Dataset) -> list[tuple[Reason, int, int]]:
    """Reason, line and record of what was skipped."""
    return [(p.reason, p.place.line, p.place.record) for p in data.summary.problems]


COCO = {
    "info": {"year": 2017},
    "licenses": [{"id": 1, "name": "CC BY 2.0"}],
    "images": [{"id": 9, "file_name": "000000000009.jpg", "license": 1}, {"id": 25, "file_name": "000000000025.jpg"}],
    "annotations": [
        {"image_id": 25, "id": 1, "caption": "A giraffe eats. "},
        {"image_id": 9, "id": 2, "caption": "Food in boxes."},
        {"image_id": 25, "id": 3, "caption": "A giraffe stands."},
    ],
}


def test_coco_gathers_an_images_captions(tmp_path: Path) -> None:
    file = put(tmp_path / "annotations" / "captions_train2017.json", COCO)
    media(tmp_path / "train2017", "000000000009.jpg", "000000000025.jpg")
    data = open_dataset(file)
    assert (data.summary.format, data.summary.media) == ("coco", tmp_path / "train2017")
    assert [(e.name, e.captions) for e in data] == [
        ("000000000009.jpg", ("Food in boxes.",)),
        ("000000000025.jpg", ("A giraffe eats.", "A giraffe stands.")),
    ]
    assert data[1].media == tmp_path / "train2017" / "000000000025.jpg"
    assert data[1].kind == "image"


def test_coco_names_what_is_wrong(tmp_path: Path) -> None:
    lines = [
        '{"images": [',
        '{"id": 1, "file_name": "a.jpg"},',
        '{"id": 1, "file_name": "a.jpg"},',
        '{"id": 2},',
        '{"id": 3, "file_name": "c.jpg"}],',
        '"annotations": [',
        '{"id": 1, "image_id": 1, "caption": "A dog."},',
        '{"id": 1, "image_id": 1, "caption": "The same number."},',
        '{"id": 2, "image_id": 1, "caption": "   "},',
        '{"id": 3, "image_id": 1, "caption": 5},',
        '{"id": 4, "image_id": 77, "caption": "Whose?"}]}',
    ]
    data = open_dataset(put(tmp_path / "captions_x.json", "\n".join(lines)))
    assert [e.captions for e in data] == [("A dog.",)]
    assert set(bad(data)) == {
        (Reason.DUPLICATE, 3, 2), (Reason.MISSING_KEY, 4, 3), (Reason.DUPLICATE, 8, 2), (Reason.EMPTY, 9, 3),
        (Reason.WRONG_TYPE, 10, 4), (Reason.EMPTY, 5, 4), (Reason.DANGLING, 11, 5),
    }  # fmt: skip
    assert data.summary.records == len(data) + sum(data.summary.skipped.values()) == 8
    assert "captions_x.json:10 (record 4)" in "\n".join(data.summary.lines())


def test_cocos_boxes_are_not_its_captions(tmp_path: Path) -> None:
    boxes = {**COCO, "annotations": [{"id": 1, "image_id": 9, "bbox": [0, 0, 1, 1], "category_id": 1}]}
    with pytest.raises(ConfigError, match=r"instances.json:1: these are COCO's boxes, not its captions"):
        open_dataset(put(tmp_path / "instances.json", boxes))


def test_flickr8k_in_its_three_files(tmp_path: Path) -> None:
    ours = "image\tsplit\tcaption_no\tcaption\n"
    ours += "b.jpg\ttrain\t1\tTwo .\nb.jpg\ttrain\t0\tOne \"o'clock .\na.jpg\ttest\t0\tX .\n"
    put(tmp_path / "ours" / "captions.tsv", ours)
    put(tmp_path / "old" / "Flickr8k.token.txt", "b.jpg#1\tTwo .\nb.jpg#0\tOne \"o'clock .\na.jpg#0\tX .\n")
    put(tmp_path / "old" / "Flickr_8k.trainImages.txt", "b.jpg\n")
    put(tmp_path / "old" / "Flickr_8k.testImages.txt", "a.jpg\n")
    put(tmp_path / "new" / "captions.txt", 'image,caption\nb.jpg,"One ""o\'clock ."\nb.jpg,Two .\na.jpg,X .\n')
    wanted = [("b.jpg", ("One \"o'clock .", "Two ."))]
    for name in ("ours", "old"):
        data = open_dataset(tmp_path / name, split="train")
        assert data.summary.format == "flickr8k"
        assert [(e.name, e.captions) for e in data] == wanted
    assert [(e.name, e.captions) for e in open_dataset(tmp_path / "new")][:1] == wanted
    with pytest.raises(ConfigError, match=r"does not tell the splits: put Flickr_8k.trainImages.txt beside"):
        open_dataset(tmp_path / "new", split="train")


def test_flickr8k_names_what_is_wrong(tmp_path: Path) -> None:
    lines = b"image\tsplit\tcaption_no\tcaption\n"
    lines += b"a.jpg\ttrain\t0\tok\na.jpg\ttrain\t0\tagain\na.jpg\ttrain\na.jpg\ttrain\t1\t \n"
    data = open_dataset(put(tmp_path / "captions.tsv", lines + b"a.jpg\ttrain\t2\tcaf\xe9\n"))
    assert [e.captions for e in data] == [("ok",)]
    assert bad(data) == [
        (Reason.DUPLICATE, 3, 2), (Reason.BROKEN, 4, 3), (Reason.EMPTY, 5, 4), (Reason.NOT_UTF8, 6, 5),
    ]  # fmt: skip


WEBVID = "videoid,contentUrl,duration,page_dir,name\n"


def test_webvid_by_page_or_alone(tmp_path: Path) -> None:
    rows = (
        WEBVID + '1,http://x/1.mp4,PT00H00M11S,000001_000050,"Dog, running\non ""grass"""\n2,u,d,,A cat\n3,u,d,p,Gone\n'
    )
    media(tmp_path / "videos", "000001_000050/1.mp4", "2.webm")
    data = open_dataset(put(tmp_path / "results_2M_train.csv", rows))
    assert data.summary.format == "webvid"
    assert [(e.captions[0], e.source.line) for e in data] == [('Dog, running\non "grass"', 2), ("A cat", 4)]
    assert [e.media.name for e in data if e.media] == ["1.mp4", "2.webm"], "another container will do"
    assert data.summary.skipped == {Reason.NO_MEDIA: 1}
    assert data.summary.bad == 0


def test_webvid_names_what_is_wrong(tmp_path: Path) -> None:
    rows = WEBVID + '1,u,d,p,One\n1,u,d,p,Again\n2,u,d\n3,u,d,p,\n../4,u,d,p,Out\n5,u,d,p,"open\n6,u,d,p,Six\n'
    media(tmp_path / "videos", "p/1.mp4", "p/6.mp4")
    data = open_dataset(put(tmp_path / "a.csv", rows))
    assert [e.captions[0] for e in data] == ["One"]
    assert bad(data) == [
        (Reason.DUPLICATE, 3, 2), (Reason.BROKEN, 4, 3), (Reason.EMPTY, 5, 4), (Reason.OUTSIDE, 6, 5),
        (Reason.NO_MEDIA, 7, 6),
    ]  # fmt: skip


def test_video_chatgpt(tmp_path: Path) -> None:
    records: list[Any] = [
        {"q": "What is shown?", "a": "A dog.", "video_id": "v_1"},
        {"q": "What is shown?", "a": "A dog.", "video_id": "v_1"},
        {"q": "What else?", "a": "", "video_id": "v_1"},
        {"q": "What else?", "video_id": "v_1"},
        {"q": "What else?", "a": ["x"], "video_id": "v_1"},
        ["not", "an", "object"],
        {"q": "Who?", "a": "\ud800", "video_id": "v_1"},
        {"q": "Where?", "a": "Elsewhere.", "video_id": "v_2"},
    ]
    media(tmp_path / "videos", "v_1.mkv")
    data = open_dataset(put(tmp_path / "VideoInstruct100K.json", json.dumps(records, indent=1)))
    assert data.summary.format == "video-chatgpt"
    assert [e.conversation for e in data] == [(Turn("What is shown?", "A dog."),)]
    assert [reason for reason, _, _ in bad(data)] == [
        Reason.DUPLICATE, Reason.EMPTY, Reason.MISSING_KEY, Reason.WRONG_TYPE, Reason.WRONG_TYPE, Reason.NOT_UTF8,
        Reason.NO_MEDIA,
    ]  # fmt: skip
    assert bad(data)[0][1:] == (7, 2), "records of a list have their line, too"


def talk(*said: tuple[str, str], **rest: object) -> dict[str, object]:
    return {"id": "x", **rest, "conversations": [{"from": who, "value": value} for who, value in said]}


def test_llama_vid_conversations(tmp_path: Path) -> None:
    records = [
        talk(
            ("human", "<image>\nWhat is it?"),
            ("gpt", "A dog."),
            ("human", "Where?"),
            ("gpt", "Outside."),
            image="a.jpg",
        ),
        talk(("system", "Be kind."), ("human", "Describe.\n<image>"), ("gpt", "A film."), video="v/1.pkl"),
        talk(("gpt", "Hello."), ("human", "<video>Who?"), ("gpt", "He."), ("human", "And?"), image="v/1.mp4"),
        {
            "messages": [{"role": "user", "content": "<video>Why?"}, {"role": "assistant", "content": "So."}],
            "videos": ["v/1.mp4"],
        },
        talk(("human", "Hi"), ("gpt", "Hello")),
        talk(("human", "a"), ("human", "b"), image="a.jpg"),
        talk(("human", "a"), ("robot", "b"), image="a.jpg"),
        talk(("human", "a"), image="a.jpg"),
        talk(("human", "a"), ("gpt", "b"), image=["a.jpg", "b.jpg"]),
        talk(("human", "a"), ("gpt", "b"), image="/etc/passwd"),
        {"id": 5, "image": "a.jpg", "conversations": "none"},
    ]
    media(tmp_path / "images", "a.jpg", "v/1.mp4")
    for file in (
        put(tmp_path / "talk.json", json.dumps(records)),
        put(tmp_path / "talk.jsonl", "\n\n".join(json.dumps(record) for record in records)),
    ):
        data = open_dataset(file, media=tmp_path / "images")
        assert data.summary.format == "llama-vid"
        assert [(e.kind, len(e.conversation), e.media and e.media.name) for e in data] == [
            ("image", 2, "a.jpg"), ("video", 1, "1.mp4"), ("video", 1, "1.mp4"), ("video", 1, "1.mp4"),
        ]  # fmt: skip
        assert [reason for reason, _, _ in bad(data)] == [
            Reason.TEXT_ONLY, Reason.TURNS, Reason.TURNS, Reason.UNANSWERED, Reason.WRONG_TYPE, Reason.OUTSIDE,
            Reason.WRONG_TYPE,
        ]  # fmt: skip
    assert bad(data)[1][1:] == (11, 6), "lines of the file, empty ones counted"


def test_activitynet_qa_joins_its_two_files(tmp_path: Path) -> None:
    ask = [("1", "v1"), ("2", "v1"), ("2", "v1"), ("3", "v2"), ("4", "v1")]
    questions = [{"video_name": v, "question": f"is it {n}", "question_id": n} for n, v in ask]
    answers = [{"answer": "yes", "type": 3, "question_id": n} for n in ("1", "2", "3", "5", "5")]
    put(tmp_path / "train_q.json", questions)
    put(tmp_path / "train_a.json", answers)
    media(tmp_path / "videos", "v_v1.mp4", "v2.mp4")
    for given_path in (tmp_path / "train_q.json", tmp_path / "train_a.json", tmp_path):
        data = open_dataset(given_path)
        assert data.summary.format == "activitynet-qa"
        assert [(e.conversation[0], e.media and e.media.name) for e in data] == [
            (Turn("is it 1", "yes"), "v_v1.mp4"), (Turn("is it 2", "yes"), "v_v1.mp4"),
            (Turn("is it 3", "yes"), "v2.mp4"),
        ]  # fmt: skip
        assert {(p.reason, p.place.file.name, p.place.record) for p in data.summary.problems} == {
            (Reason.DUPLICATE, "train_a.json", 5), (Reason.DUPLICATE, "train_q.json", 3),
            (Reason.UNANSWERED, "train_q.json", 5), (Reason.UNASKED, "train_a.json", 4),
        }  # fmt: skip
    (tmp_path / "train_a.json").unlink()
    with pytest.raises(ConfigError, match=r"needs train_a.json beside it"):
        open_dataset(tmp_path / "train_q.json")


NEXT = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2\n"


def test_next_qa_multiple_choice_and_open_ended(tmp_path: Path) -> None:
    rows = "7,300,64,48,what is it,2,0,CH,cat,dog,cow\n7,300,64,48,why,3,1,CW,x,y,z\n7,300,64,48,who,1,0,CW,x,y,z\n"
    rows += "7,300,64,48,how,dog,2,CW,x,dog,z\n8,300,64,48,how,1,0,CH,x,,z\n"
    file = put(tmp_path / "train.csv", NEXT + rows)
    put(tmp_path / "map_vid_vidorID.json", {"7": "0101/7"})
    media(tmp_path / "NExTVideo", "0101/7.mp4", "8.mp4")
    data = open_dataset(file)
    assert [(e.conversation[0], e.media) for e in data] == [
        (Turn("what is it", "cow", ("cat", "dog", "cow"), 2), tmp_path / "NExTVideo" / "0101" / "7.mp4")
    ]
    assert bad(data) == [
        (Reason.NOT_AN_OPTION, 3, 2), (Reason.DUPLICATE, 4, 3), (Reason.NOT_AN_OPTION, 5, 4), (Reason.EMPTY, 6, 5),
    ]  # fmt: skip
    plain = NEXT.replace(",a0,a1,a2", "") + "8,300,64,48,where is it,kitchen,0,DL\n"
    data = open_dataset(put(tmp_path / "open.csv", plain))
    assert [(e.conversation[0], e.media) for e in data] == [
        (Turn("where is it", "kitchen"), tmp_path / "NExTVideo" / "8.mp4")
    ]
    put(tmp_path / "map_vid_vidorID.json", "[1]")
    with pytest.raises(ConfigError, match="not a JSON object of video numbers"):
        open_dataset(file)


def test_clips_and_folders_of_labels(tmp_path: Path) -> None:
    lines = [
        '{"file": "a.mp4", "caption": "A dog.", "qa": [{"q": "What?", "a": "A dog."}], "seconds": 4}',
        '{"file": "a.mp4", "captions": ["It runs.", "It jumps."], "start": 1, "end": 2.5}',
        '{"file": "a.mp4", "caption": "A dog again."}',
        '{"file": "b.jpg"}',
        '{"file": "c.xyz", "caption": "?"}',
        '{"file": "a.mp4", "caption": "Late.", "start": 5, "end": 5}',
        '{"file": "a.mp4", "cap',
    ]
    put(tmp_path / "clips" / "clips.jsonl", "\n".join(lines))
    media(tmp_path / "clips", "a.mp4", "b.jpg")
    data = open_dataset(tmp_path / "clips")
    assert [(e.captions, e.span, e.kind) for e in data] == [
        (("A dog.",), None, "video"), (("It runs.", "It jumps."), (1.0, 2.5), "video"),
    ]  # fmt: skip
    assert bad(data) == [
        (Reason.DUPLICATE, 3, 3), (Reason.MISSING_KEY, 4, 4), (Reason.WRONG_TYPE, 5, 5), (Reason.WRONG_TYPE, 6, 6),
        (Reason.BROKEN, 7, 7),
    ]  # fmt: skip
    media(tmp_path / "kinetics", "playing_guitar/1.mp4", "playing_guitar/2.webm", "a cat/3.png", "a cat/notes.txt")
    data = open_dataset(tmp_path / "kinetics")
    assert data.summary.format == "folders"
    assert [(e.captions[0], e.kind) for e in data] == [
        ("a cat", "image"), ("playing guitar", "video"), ("playing guitar", "video"),
    ]  # fmt: skip


def test_media_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    records = [{"q": f"{n}?", "a": "x", "video_id": f"v{n}"} for n in range(50)]
    data = open_dataset(put(tmp_path / "a.json", records), media=media(tmp_path / "m", "v7.mp4"))
    assert len(data) == 1
    told = data.summary.lines()
    assert [line for line in told if "not there" in line] == ["skipped: 49 × media not there (v0, v1, v2, …)"]
    assert data.summary.to_json()["skipped"] == {"media not there": 49}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '[{"q": "x", "a": "y",\n "video_id": "1"},\n {"q" "x"}]', r"a.json:3: not JSON"),
        ("a.json", '[{"q": "x", "a": "y", "video_id": "1"},\n {"q": "x', r"a.json:2: .*cut off: fetch it again"),
        ("a.json", '[{"q": "x", "a": "y", "video_id": "1"} {}]', r"a.json:1: not JSON: '{' stands where ','"),
        ("a.json", '{"q": "x"}\n{"q": "y"}', r"a.json:2: .*name the file .jsonl"),
        ("a.json", "hello", "JSON array or object was expected"),
        ("a.json", "", "JSON array or object was expected"),
        ("a.csv", "this,that\n1,2\n", "in none of the known formats"),
        ("a.json", "[1, 2, 3]", "in none of the known formats"),
        ("a.json", "[" * 100_000, "not JSON"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(put(tmp_path / name, content))


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    file = put(tmp_path / "val_q.json", [{"video_name": "v", "question": "q", "question_id": "1"}])
    put(tmp_path / "val_a.json", [{"answer": "a", "question_id": "1"}])
    with pytest.raises(ConfigError, match="there is no data set"):
        open_dataset(tmp_path / "nothing.json")
    with pytest.raises(ConfigError, match=r"media folder .* is not there"):
        open_dataset(file, media=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no format 'koko'; known: auto, coco"):
        open_dataset(file, "koko")
    with pytest.raises(ConfigError, match="is the split 'val' by its name, not 'train'"):
        open_dataset(file, split="train")
    with pytest.raises(ConfigError, match="no data set of the split 'train'"):
        open_dataset(tmp_path, split="train")
    put(tmp_path / "two.csv", WEBVID + "1,u,d,p,One\n")
    with pytest.raises(ConfigError, match=r"several data sets: two.csv, val_q.json"):
        open_dataset(tmp_path)


def test_a_file_that_changes_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    file = put(tmp_path / "a.json", [{"q": "x?", "a": "y", "video_id": "1"}])
    data = open_dataset(file)
    put(file, '[{"z"' + " " * 30)
    with pytest.raises(ConfigError, match="has changed while it was in use"):
        data[0]
    with pytest.raises(IndexError):
        data[1]


def test_the_check_prints_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(tmp_path / "a.json", [{"q": "x?", "a": "y", "video_id": "1"}, {"q": "x?"}])
    assert check.main([str(file)]) == 0
    told = capsys.readouterr().out
    assert "Video-ChatGPT instructions (video-chatgpt), no media folder: texts only" in told
    assert "1 of 2 records can be used" in told
    assert "question: x?" in told
    assert f"{file}:1 (record 2): missing key: 'video_id'" in told
    assert check.main([str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == {"missing key": 1}
    assert check.main([str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no data set")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), change=st.binary(max_size=3), which=st.integers(0, 3))
def test_damage_is_an_error_or_a_skipped_record(tmp_path: Path, cut: int, change: bytes, which: int) -> None:
    """Whatever bytes a file has, it opens or is refused with one error, and every record is used or counted."""
    names = ("a.json", "b.jsonl", "c.csv", "captions_x.json")
    talks = [talk(("human", f"<image>ä{n}"), ("gpt", "€"), image=f"{n}.jpg") for n in range(3)]
    contents = (
        json.dumps(talks, ensure_ascii=False),
        "\n".join(json.dumps(t, ensure_ascii=False) for t in talks),
        WEBVID + '1,u,d,p,"One, ö"\n2,u,d,p,Two\n3,u,d,p,Three\n',
        json.dumps(COCO),
    )
    whole = contents[which].encode()
    at = cut % len(whole)
    file = put(tmp_path / names[which], whole[:at] + change + whole[at + len(change) :])
    try:
        data = open_dataset(file)
    except ConfigError:
        return
    assert data.summary.usable == len(data) == len(list(data))
    assert data.summary.records == len(data) + sum(data.summary.skipped.values())


@pytest.mark.data
def test_the_real_lists(data: Path) -> None:
    """Public lists as they are: everything in them can be used."""
    lists = data / "annotations"
    for path, name, count in (
        (lists / "nextqa" / "val.csv", "next-qa", 4996),
        (lists / "nextqa" / "test.csv", "next-qa", 8564),
        (lists / "activitynet-qa" / "val_a.json", "activitynet-qa", 18000),
        (lists / "llama-factory" / "mllm_video_demo.json", "llama-vid", 3),
    ):
        found = open_dataset(path)
        assert (found.summary.format, len(found), found.summary.skipped) == (name, count, {})
        assert found.media is None
        assert all(len(found[number].conversation) == 1 for number in range(0, count, 997))
    found = open_dataset(data / "flickr8k", split="train")
    assert (len(found), found.summary.captions, found.summary.bad) == (6000, 30000, 0)
    assert found[5999].media is not None
    assert Reason.NO_MEDIA in QUIET
