"""`replay` and `rules tune`: alert rules tried on recordings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llama_vid.commands.models import fetch_missing
from llama_vid.commands.terminal import Device, Json, ModelName, busy, clock, span, watching, write_json
from llama_vid.commands.video import Video, check_video
from llama_vid.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from llama_vid.llm.rules.rule import Rule
    from llama_vid.llm.rules.watcher import Second
    from llama_vid.memory.alerts import AlertChange
    from llama_vid.model import LLaMAVID

logger = logging.getLogger(__name__)

app = typer.Typer(help="Alert rules: find their thresholds.", no_args_is_help=True)

RulesOption = Annotated[
    Path, typer.Option("--rules", metavar="FILE", help="A YAML file with an alerts: list (docs/alerts.md).")
]
CameraOption = Annotated[
    str | None, typer.Option("--camera", help="The rules of this camera of a llama-vid.yaml given as --rules.")
]
CAMERA: Final = "replay"


def loaded(model: str, device: str) -> LLaMAVID:
    """The named model. Raises BundleError."""
    fetch_missing(model)
    with busy(f"Loading the model {model}"):
        from llama_vid.model import LLaMAVID

        return LLaMAVID.from_pretrained(model, device=device)


def replay(
    video: Video,
    rules: RulesOption,
    camera: CameraOption = None,
    begin: Annotated[
        str | None,
        typer.Option("--begin", metavar="TIME", help="When the recording began, as 2026-11-24T21:00, for schedules."),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="The score of every rule in every second, too.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw scores, thresholds and events.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Take second looks where rules ask for.")] = True,
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
) -> None:
    """Try alert rules on a recording: when would they have fired?"""
    from llama_vid.rules_file import read_rules_file
    from llama_vid.settings_alerts import engine_rules

    wanted = engine_rules(read_rules_file(rules, camera))
    zone = datetime.now().astimezone().tzinfo or UTC
    epoch = None if begin is None else begun(begin, zone)
    if plot is not None:
        from llama_vid.commands.plot import check_target

        check_target(plot)
    check_video(video)
    if epoch is None and any(rule.schedule.stretches for rule in wanted):
        logger.warning("Schedules are ignored: nobody knows when the recording began; say it with --begin")
    engine = loaded(model, device)
    from llama_vid.rule_replay import RuleReplay
    from llama_vid.stream.file import FileSource
    from llama_vid.stream.opening import open_source

    source = open_source(video, fps=1.0, live=False)
    if not isinstance(source, FileSource):
        raise SourceError(f"{video} is a live source; give a recording, or try rules on a camera with: llama-vid serve")
    work = RuleReplay(
        engine.bundle, engine.responder.find, wanted, camera=camera or CAMERA, zone=zone, epoch=epoch, verify=verify
    )
    changes: list[AlertChange] = []
    seconds: list[Second] = []
    with watching("Watching") as progress:
        for each in work.run(source, lambda done: progress(done, source.duration)):
            changes += each.changes
            seconds += each.seconds
            if as_json:
                _write(each.changes, each.seconds if scores else ())
    for warning in source.warnings:
        logger.warning("%s", warning)
    if not as_json:
        _print(changes, seconds if scores else ())
    if plot is not None:
        from llama_vid.commands.plot_rules import draw_rules

        draw_rules(wanted, changes, seconds, plot, title=Path(video).name)
        print(f"plot: {plot}", file=sys.stderr)


def begun(text: str, zone: tzinfo) -> float:
    """A time as ISO 8601, in UTC epoch seconds; without an offset it is of this machine's zone. Raises ConfigError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--begin {text!r} is not a time; write it as 2026-11-24T21:00") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp()


def _write(changes: Sequence[AlertChange], seconds: Sequence[Second]) -> None:
    """Scores and changes as JSON lines, in time order."""
    lines = [
        (second.end, 0, {"type": "scores", "start": second.start, "end": second.end, "scores": dict(second.scores)})
        for second in seconds
    ]
    lines += [(change.at, 1, change.to_json()) for change in changes]
    for _, _, line in sorted(lines, key=lambda item: item[:2]):
        write_json(line)


def _print(changes: Sequence[AlertChange], seconds: Sequence[Second]) -> None:
    """One line for each event, and one for each second where scores are wanted."""
    for second in seconds:
        said = "  ".join(f"{name} {value:.2f}" for name, value in second.scores.items())
        print(f"{clock(second.start):>9}  {said}")
    ended = [change.event for change in changes if change.type == "end"]
    if not ended:
        print("no rule would have fired")
    width = max((len(event.rule) for event in ended), default=0)
    for event in sorted(ended, key=lambda event: event.start):
        verified = {None: "", True: "confirmed", False: "withdrawn"}[event.verified]
        end = event.start if event.end is None else event.end
        print(f"{span(event.start, end):>15}  {event.rule:<{width}}  {event.score:.2f}  {verified:<9}  {event.text}")


@app.command("tune")
def tune(
    rules: RulesOption,
    examples: Annotated[
        Path, typer.Option("--examples", metavar="FILE", help="Recordings where rules should fire, or should not.")
    ],
    write: Annotated[bool, typer.Option("--write", help="Put the thresholds into the rules file.")] = False,
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
) -> None:
    """Propose each rule's threshold from examples marked right or wrong; the file is left alone without --write."""
    from llama_vid.rule_tuning import propose, read_examples
    from llama_vid.rules_file import read_rules_file, write_thresholds
    from llama_vid.settings_alerts import engine_rules

    wanted = engine_rules(read_rules_file(rules))
    marked = read_examples(examples, wanted)
    for video in dict.fromkeys(example.video for example in marked):
        check_video(video)
    seconds = scored(loaded(model, device), wanted, [example.video for example in marked])
    proposals = [
        propose(rule, own, seconds)
        for rule in wanted
        if (own := [example for example in marked if example.rule == rule.name])
    ]
    if write:
        write_thresholds(rules, {proposal.rule: proposal.threshold for proposal in proposals})
    for proposal in proposals:
        if as_json:
            write_json(proposal.to_json())
            continue
        now, auto = proposal.counts, proposal.auto
        print(
            f"{proposal.rule}: threshold {proposal.threshold:.2f}, precision {_share(now.precision)}, "
            f"recall {_share(now.recall)} (auto: {_share(auto.precision)}, {_share(auto.recall)}; "
            f"{proposal.examples} examples)"
        )
    if not as_json:
        print(f"written to {rules}" if write else f"{rules} is as it was; --write puts them in", file=sys.stderr)


def scored(engine: LLaMAVID, rules: Sequence[Rule], videos: Sequence[str]) -> dict[str, list[Second]]:
    """The scores of every second of each video. Raises SourceError."""
    from llama_vid.rule_replay import RuleReplay
    from llama_vid.stream.file import FileSource

    found: dict[str, list[Second]] = {}
    for video in dict.fromkeys(videos):
        work = RuleReplay(engine.bundle, engine.responder.find, rules, camera=CAMERA, zone=UTC, verify=False)
        source = FileSource(video)
        with watching(Path(video).name) as progress:
            found[video] = [
                second
                for each in work.run(source, lambda done, source=source: progress(done, source.duration))  # type: ignore[misc]
                for second in each.seconds
            ]
    return found


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
