"""`ask`, `timeline` and `search`: a recording, taken in whole, and what is in it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_vid.commands.live import DEFAULT_CONFIG
from llama_vid.commands.models import fetch_missing
from llama_vid.commands.terminal import Device, Json, ModelName, busy, clock, plain, span, watching, write_json
from llama_vid.errors import ConfigError, QuestionError, SourceError

if TYPE_CHECKING:
    from llama_vid.film import Film
    from llama_vid.llm.answer import Answer
    from llama_vid.llm.remote_options import RemoteOptions

    #: A remote model, and the folder that keeps what was spent on it.
    Remote = tuple[RemoteOptions, Path]

logger = logging.getLogger(__name__)

Video = Annotated[str, typer.Argument(metavar="VIDEO", help="A file or a stream's URL.")]


def check_video(video: str) -> None:
    """Refuse a path where no file can be read, before the model is loaded for it. Raises SourceError."""
    if "://" in video:
        return
    path = Path(video.removeprefix("file:"))
    if path.is_dir():
        raise SourceError(f"{path} is a folder; give one video file")
    if video.startswith(("v4l2:", "webrtc:")):
        return
    if not path.exists():
        raise SourceError(f"there is no file {path}; check the path")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path} cannot be read: permission denied; check its rights")
    if path.is_file() and not path.stat().st_size:
        raise SourceError(f"{path} is empty (0 bytes); record or copy it again")


def clean_text(text: str, what: str) -> str:
    """A question or search text without what a chat template would obey. Raises QuestionError if empty or too long."""
    from llama_vid.clients.question import MAX_QUESTION_CHARACTERS, strip_template_tokens

    if len(text) > MAX_QUESTION_CHARACTERS:
        raise QuestionError(f"the {what} has {len(text):,} characters; write at most {MAX_QUESTION_CHARACTERS:,}")
    text = strip_template_tokens(text)
    if not text:
        raise QuestionError(f"the {what} is empty; write it in quotes after the video")
    return text


def open_film(video: str, model: str, device: str, question: str | None = None, remote: Remote | None = None) -> Film:
    """The video, taken in whole by the named model, with a progress bar; its warnings go to the log. A `remote` model
    puts answers into words.
    """
    check_video(video)
    fetch_missing(model)
    with busy(f"Loading the model {model}"):
        from llama_vid.model import LLaMAVID

        answers = None
        if remote is not None:
            from llama_vid.remote_answers import RemoteAnswers

            answers = RemoteAnswers(*remote)
        loaded = LLaMAVID.from_pretrained(model, device=device, remote=answers)
    with watching("Watching") as progress:
        film = loaded.open(video, progress=progress, question=question)
    for warning in film.warnings:
        logger.warning("%s", warning)
    return film


def remote_of(file: Path | None, engine: str | None) -> Remote | None:
    """The remote model that is to be asked, where a configuration or the engine is named. Raises ConfigError.

    What lies in this folder sends nothing anywhere by itself: one of the two must be said.
    """
    if engine not in (None, "local", "openai"):
        raise ConfigError(f"--engine {engine}: write local or openai")
    if engine == "local" or (file is None and engine is None):
        return None
    from llama_vid.config import load_config

    if file is None and DEFAULT_CONFIG.is_file():
        file = DEFAULT_CONFIG
    config = load_config(file)
    llm = config.llm
    if engine == "openai":
        if llm.openai is None:
            where = file or f"there is no {DEFAULT_CONFIG} here; it"
            raise ConfigError(f"--engine openai: {where} needs a section llm.openai with base_url and model")
        llm = llm.model_copy(update={"engine": "openai"})
    elif llm.engine == "vllm":
        raise ConfigError(f"{file}: llm.engine vllm is for the server; ask recordings with --engine local or openai")
    options = llm.remote(file.parent if file is not None else Path())
    return None if options is None else (options, config.memory_folder)


def ask(
    video: Video,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask, in English.")],
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="Take the language model's settings (llm:) from this file."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", help="local, or openai: have the remote model of the configuration read what is found."
        ),
    ] = None,
) -> None:
    """Answer a question about a whole video."""
    question = clean_text(question, "question")
    film = open_film(video, model, device, question, remote_of(config, engine))
    if film.needs_listening(question):
        with watching("Listening") as progress:
            film.listen(progress)
    if as_json:
        found = plain(film.ask(question))
        if found["engine"] == "local" and not found["note"]:  # nothing remote was wanted: what always was there
            del found["engine"], found["note"]
        write_json(found)
        return
    answer: Answer | None = None
    for piece in film.stream(question):
        sys.stdout.write(piece.delta)
        sys.stdout.flush()
        answer = piece.answer or answer
    sys.stdout.write("\n")
    if answer is not None:
        _print_grounds(answer)


def _print_grounds(answer: Answer) -> None:
    """The times that an answer rests on, each with what is seen there."""
    if answer.evidence:
        times = [span(item.start, item.end) for item in answer.evidence]
        width = max(map(len, times))
        print()
        for time, item in zip(times, answer.evidence, strict=True):
            print(f"  {time:>{width}}  {item.caption} ({item.score:.2f})".rstrip())
    elif answer.timestamps:
        print(f"\n  at {', '.join(clock(seconds) for seconds in answer.timestamps)}")
    tokens, timing = answer.tokens, answer.timing
    print(
        f"{tokens.frames} frames as {tokens.video} tokens; watched in {timing.ingest_s:.1f} s, "
        f"first token after {timing.first_token_s:.1f} s ({answer.model})",
        file=sys.stderr,
    )
    if answer.note:
        print(f"answered by {answer.engine}: {answer.note}", file=sys.stderr)


def timeline(
    video: Video,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="PNG", help="Draw the timeline, and what memory keeps of it, as a picture."),
    ] = None,
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
) -> None:
    """Say what happens when."""
    if plot is not None:
        from llama_vid.commands.plot import check_target

        check_target(plot)
    film = open_film(video, model, device)
    spans = film.timeline()
    if plot is not None:
        from llama_vid.commands.plot import draw_timeline

        draw_timeline(spans, film.entries, plot, title=Path(video).name)
    for item in spans:
        if as_json:
            write_json(item)
        else:
            print(f"{span(item.start, item.end):>15}  {item.caption}  (motion {item.motion:.2f})")
    if plot is not None:
        print(f"plot: {plot}", file=sys.stderr)


def search(
    video: Video,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for, as a caption would say it.")],
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
) -> None:
    """Find the moments that match a text, best first."""
    text = clean_text(text, "search text")
    matches = open_film(video, model, device).search(text)
    if as_json:
        found = [{"start": each.start, "end": each.end, "score": each.score} for each in matches]
        said = [{"heard": each.heard} if each.heard else {} for each in matches]
        write_json({"matches": [seen | words for seen, words in zip(found, said, strict=True)]})
        return
    if not matches:
        print("no moment matches")
    for match in matches:
        heard = f"  “{match.heard}”" if match.heard else ""
        print(f"{span(match.start, match.end):>15}  {match.score:.2f}{heard}")
