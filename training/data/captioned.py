"""Photos and videos with captions: COCO, Flickr8k, WebVid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llama_vid.errors import ConfigError
from training.data.example import BadRecord, Draft, Place, Problem, Reason
from training.data.form import Entry, Format, Sample, Skip, Span, identity, mapping, text
from training.data.json_arrays import JsonArrays
from training.data.records import Raw, Table


class Coco(Format):
    """COCO's captions: an object with `images` (id, file_name) and `annotations` (id, image_id, caption).

    A record is an image with all of its captions. What is kept of a file while it is open is the position of each image
    and caption, about 0.4 KB each while it is taken in (0.3 GB for captions_train2017.json) and 24 bytes after.

    Source: Chen et al. 2015, https://arxiv.org/abs/1504.00325; the layout is at https://cocodataset.org/#format-data
    (5. Image Captioning). Captions CC BY 4.0, each photo under its own Creative Commons licence.
    """

    name, title = "coco", "COCO captions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (JsonArrays(path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        wanted = {"images": {"id", "file_name"}, "annotations": {"image_id"}}.get(sample.part)
        return wanted is not None and wanted <= sample.keys

    def entries(self, skip: Skip) -> Iterator[Entry]:
        images: dict[str, tuple[Span, Place]] = {}
        captions: dict[str, list[tuple[Span, Place]]] = {}
        seen: set[str] = set()
        for raw in self.readers[0].scan():
            if raw.part not in ("images", "annotations"):
                continue
            span = (0, raw.offset, raw.length)
            try:
                if raw.problem is not None:
                    raise raw.problem
                record = mapping(raw.value)
                number = identity(record, "id")
                if raw.part == "images":
                    text(record, "file_name")
                    if number in images:
                        raise BadRecord(Reason.DUPLICATE, f"image {number}")
                    images[number] = (span, raw.place)
                    continue
                self._captioned(raw, record)
                if number in seen:
                    raise BadRecord(Reason.DUPLICATE, f"annotation {number}")
                seen.add(number)
                captions.setdefault(identity(record, "image_id"), []).append((span, raw.place))
            except BadRecord as problem:
                skip(Problem(problem.reason, raw.place, f"{raw.part}: {problem.detail}"))
        for number, (span, place) in images.items():
            own = captions.pop(number, [])
            if not own:
                skip(Problem(Reason.EMPTY, place, f"images: {number} has no captions"))
                continue
            spans = (span, *(part for part, _ in own))
            yield Entry(spans, place, self.draft([self.readers[0].read(*part[1:]) for part in spans]))
        for number, strays in captions.items():
            for _, place in strays:
                skip(Problem(Reason.DANGLING, place, f"annotations: there is no image {number}"))

    def draft(self, values: Sequence[Any]) -> Draft:
        image = mapping(values[0])
        captions = tuple(text(mapping(value), "caption") for value in values[1:])
        return Draft((text(image, "file_name"),), "image", identity(image, "id"), captions)

    def media_folders(self) -> list[Path]:
        # captions_train2017.json lies in annotations/ beside train2017/.
        folder = self.path.stem.rpartition("_")[2]
        near = self.path.parent
        roots = (near.parent, near, near.parent / "images")
        return [*(root / folder for root in roots), near / "photos", *super().media_folders()]

    def _captioned(self, raw: Raw, record: dict[str, Any]) -> None:
        if "caption" not in record and ("bbox" in record or "segmentation" in record):
            raise ConfigError(
                f"{raw.place.file}:{raw.place.line}: these are COCO's boxes, not its captions; give captions_*.json"
            )
        text(record, "caption")


class Flickr8k(Format):
    """Flickr8k: five captions a photo, in one of three files.

    `captions.tsv` (image, split, caption_no, caption; tab-separated without quoting), the original `Flickr8k.token.txt`
    (`photo.jpg#0`, tab, caption) with its lists `Flickr_8k.trainImages.txt` and so on, or `captions.txt` (image,
    caption; comma-separated). A record is a photo with all of its captions. A `captions.tsv` without the column
    split is taken whole, whatever split is asked for: it is a list of one's own.

    Source: Hodosh, Young, Hockenmaier 2013, https://doi.org/10.1613/jair.3994; non-commercial research use.
    """

    name, title = "flickr8k", "Flickr8k captions, or a table like it"
    files = ("captions.tsv", "Flickr8k.token.txt", "captions.txt")

    def __init__(self, path: Path, split: str | None = None) -> None:
        if path.is_dir():
            path = next((path / file for file in self.files if (path / file).is_file()), path)
        super().__init__(path, split)
        self._tokens = path.name.endswith(".token.txt")
        tabs = self._tokens or path.suffix == ".tsv"
        columns = ("photo", "caption") if self._tokens else None
        self.readers: tuple[Table, ...] = (
            Table(path, delimiter="\t" if tabs else ",", quoted=not tabs, columns=columns),
        )

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        if sample.path.is_dir():
            return any((sample.path / file).is_file() for file in cls.files)
        return sample.path.name.endswith(".token.txt") or {"image", "caption"} <= set(sample.columns)

    def entries(self, skip: Skip) -> Iterator[Entry]:
        found: dict[str, list[tuple[Span, Place]]] = {}
        seen: set[tuple[str, str]] = set()
        listed = self._listed()
        for raw in self.readers[0].scan():
            try:
                if raw.problem is not None:
                    raise raw.problem
                image, number, _ = self._caption(raw.value)
                if number and (image, number) in seen:
                    raise BadRecord(Reason.DUPLICATE, f"caption {number} of {image}")
                seen.add((image, number))
                if self.split in (None, raw.value.get("split", self.split) if listed is None else listed.get(image)):
                    found.setdefault(image, []).append(((0, raw.offset, raw.length), raw.place))
            except BadRecord as problem:
                skip(Problem(problem.reason, raw.place, problem.detail))
        for own in found.values():
            spans = tuple(span for span, _ in own)
            yield Entry(spans, own[0][1], self.draft([self.readers[0].read(*span[1:]) for span in spans]))

    def draft(self, values: Sequence[Any]) -> Draft:
        told = sorted((self._caption(value) for value in values), key=lambda caption: caption[1])
        return Draft((told[0][0],), "image", told[0][0], tuple(caption for _, _, caption in told))

    @property
    def tells_splits(self) -> bool:
        return self._listed() is not None or "split" in (self.readers[0].columns or ())

    def media_folders(self) -> list[Path]:
        near = self.path.parent
        return [near / "photos", near / "Flicker8k_Dataset", near / "Images", *super().media_folders()]

    def _caption(self, row: dict[str, str]) -> tuple[str, str, str]:
        """Photo, caption number (may be empty) and caption of a line. Raises BadRecord."""
        if not self._tokens:
            return text(row, "image"), row.get("caption_no", ""), text(row, "caption")
        image, mark, number = text(row, "photo").rpartition("#")
        if not mark:
            raise BadRecord(Reason.BROKEN, "the photo's name and caption number are joined by '#'")
        return image, number, text(row, "caption")

    def _listed(self) -> dict[str, str] | None:
        """The split of each photo by the original lists, None if they are not there. Raises ConfigError."""
        lists = {split: self.path.parent / f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")}
        there = {split: file for split, file in lists.items() if file.is_file()}
        if there:
            return {name: split for split, file in there.items() for name in file.read_text("utf-8").split()}
        if self.split is not None and (self._tokens or self.path.suffix != ".tsv"):
            raise ConfigError(
                f"{self.path} does not tell the splits: put Flickr_8k.{self.split}Images.txt beside it, or leave out "
                "`split`"
            )
        return None


class WebVid(Format):
    """WebVid's tables: videoid, contentUrl, duration, page_dir, name (the caption), in any order.

    The video is `page_dir/videoid.mp4`, or `videoid.mp4` where downloaders leave out the page.

    Source: Bain et al. 2021, https://arxiv.org/abs/2104.00650 and https://github.com/m-bain/webvid (columns and folder
    layout as in its download.py); non-commercial research use, see its TERMS.md.
    """

    name, title = "webvid", "WebVid captions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (Table(path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        return {"videoid", "name"} <= set(sample.columns)

    def draft(self, values: Sequence[Any]) -> Draft:
        row = mapping(values[0])
        video, page = text(row, "videoid"), row.get("page_dir", "").strip()
        names = (f"{page}/{video}.mp4", f"{video}.mp4") if page else (f"{video}.mp4",)
        return Draft(names, "video", video, (text(row, "name"),))
