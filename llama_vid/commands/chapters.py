"""`chapters`: what a lecture is about, when."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from llama_vid.commands.caption import load_speech, speech_settings
from llama_vid.commands.terminal import Json, busy, clock, watching, write_json
from llama_vid.commands.video import check_video
from llama_vid.errors import SourceError

if TYPE_CHECKING:
    from llama_vid.llm.speech.chapters import Chapter
    from llama_vid.tokenizer.slides import SlideReader

logger = logging.getLogger(__name__)


def chapters(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A recording with speech, with or without pictures.")],
    glossary: Annotated[
        str, typer.Option("--glossary", metavar="TERMS", help="Names and terms to expect, separated by commas.")
    ] = "",
    speech_model: Annotated[
        str, typer.Option("--speech-model", help="mini, a folder with a CTranslate2 Whisper model, or a hub name.")
    ] = "mini",
    language: Annotated[str, typer.Option("--language", help="What is spoken: en, de, …; auto to find out.")] = "en",
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Processor threads for recognition.")] = 1,
    slides: Annotated[
        bool, typer.Option("--slides", help="Take titles from the slides, where they have one (needs the extra: ocr).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Divide a lecture into chapters, each with its time, a title and a key sentence."""
    from llama_vid.llm.speech.chapters import chapters as divide
    from llama_vid.llm.speech.lines import Sentences
    from llama_vid.llm.speech.pieces import recognise_recording
    from llama_vid.stream.audio_file import AudioFile
    from llama_vid.stream.opening import is_recording
    from llama_vid.tokenizer.sentences import SentenceEncoder

    settings = speech_settings(glossary, speech_model, language, threads)
    check_video(source)
    if not is_recording(source):
        raise SourceError("chapters are made of a recording, not of a stream; record it to a file first")
    reader = _reader() if slides else None
    with busy(f"Loading the speech model {speech_model}"):
        model = load_speech(settings)
    sound, sentences = AudioFile(source), Sentences()
    with watching("Listening") as progress:
        heard = recognise_recording(
            model, sound, hotwords=settings.hotwords, progress=lambda done: progress(done, sound.duration)
        )
        lines = [line for stretch in heard for line in sentences.push(stretch.words)]
    lines += sentences.finish()
    for warning in sound.warnings:
        logger.warning("%s", warning)
    if not lines:
        print("nothing is said in it; for what is seen: llama-vid timeline", file=sys.stderr)
        return
    with busy("Looking for new slides"):
        cuts = _cuts(source)
    found = divide(lines, SentenceEncoder.load().encode, cuts=cuts, end=sound.duration)
    if reader is not None:
        with busy("Reading slides"):
            found = _titled(source, found, reader)
    for chapter in found:
        if as_json:
            write_json(chapter)
        else:
            print(f"{clock(chapter.start):>8}  {chapter.title}\n{'':>10}{chapter.text}")


def _cuts(source: str) -> list[float]:
    """When the picture changes; nothing for sound alone."""
    from llama_vid.stream.cuts import picture_changes
    from llama_vid.stream.file import FileSource

    try:
        return picture_changes(FileSource(source, longest_side=320))
    except SourceError as none:
        logger.info("no pictures: %s", none)
        return []


def _reader() -> SlideReader:
    from llama_vid.tokenizer.slides import SlideReader

    return SlideReader.load()


def _titled(source: str, found: Sequence[Chapter], reader: SlideReader) -> list[Chapter]:
    """The chapters with the titles of the slides that they begin with; a slide has a second to come in."""
    from llama_vid.stream.file import FileSource
    from llama_vid.tokenizer.slides import slide_title

    titles: dict[int, str] = {}
    waiting = list(range(len(found)))
    try:
        for frame in FileSource(source):
            while waiting and frame.seconds >= found[waiting[0]].start + 1.0:
                number = waiting.pop(0)
                if title := slide_title(reader.read(frame.image)):
                    titles[number] = title
            if not waiting:
                break
    except SourceError as none:
        logger.info("no pictures: %s", none)
    return [replace(chapter, title=titles.get(number, chapter.title)) for number, chapter in enumerate(found)]
