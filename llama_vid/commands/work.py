"""`eval`, `train` and `bench`: measuring and training, which use the program from outside."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llama_vid.commands.models import fetch_missing
from llama_vid.commands.terminal import Device, Json, ModelName, write_json
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from evaluation.systems_options import SystemsOptions

BENCH_HELP: Final = (
    "cold_start, hour, ttft, frame, file, cameras, day, recompute, tokens, alerts, clients, glass, cluster, capacity, "
    "captions, gpu, or all."
)

EVAL_HELP: Final = (
    "yesno, open, absent, sofar, moments, long, time, change, alerts, retrieval, captions; or all, with a report."
)


def _need(package: str) -> None:
    """The three outside packages come with a checkout and with the wheel. Raises ConfigError where one is not there."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"the package {package!r} is not installed here; run this command from a checkout (make setup)"
        )


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help=EVAL_HELP, show_default=False)] = "",
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="The questions and videos; by default found through LLAMA_VID_DATA."),
    ] = None,
    route: Annotated[
        str, typer.Option("--route", help="all: everything the program has; tokens: the two tokens a frame alone.")
    ] = "all",
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            metavar="NAME[,NAME…]",
            help="Systems side by side, by yesno and open: ours, full, llava-next-video, video-llama, openai. "
            "Or one baseline's name: that system alone.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights", metavar="SYSTEM=PLACE", help="Side by side: a folder or a hub id; openai: the model's name."
        ),
    ] = None,
    frames: Annotated[
        list[str] | None,
        typer.Option(
            "--frames", metavar="SYSTEM=N", help="Side by side: frames of a clip, not as the system's paper says."
        ),
    ] = None,
    drop: Annotated[
        str, typer.Option("--drop", help="With --route tokens: take the motion or the context token away.")
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="Only N of them, spread evenly; side by side: N clips."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="OUT", help="With all, and side by side: where results, answers and the table go."
        ),
    ] = None,
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="Side by side: auto, bf16, fp16 or fp32.")] = "auto",
    base_url: Annotated[
        str,
        typer.Option("--base-url", metavar="URL", help="openai: another address.", envvar="OPENAI_BASE_URL"),
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="openai: holds the key (else OPENAI_API_KEY)."),
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", min=1, metavar="N", help="openai: the most requests of this run.")
    ] = None,
) -> None:
    """Measure the model on a question set, beside its baselines or beside other systems."""
    _need("evaluation")
    from evaluation.systems_options import ApiOptions, chosen, is_comparison
    from evaluation.systems_options import check as check_systems

    names = chosen(system or ())
    if is_comparison(names):
        if drop:
            raise ConfigError("--drop is for our tokens alone; leave it out with systems side by side")
        if folder is None and Path(name).is_dir() and name:
            name, folder = "all", Path(name)
        api = ApiOptions(base_url, key_file, *(() if max_requests is None else (max_requests,)))
        _side_by_side(
            check_systems(
                name, names, folder, out=report, limit=limit, route=route, model=model, device=device, dtype=dtype,
                weights=weights or (), frames=frames or (), api=api,
            ),
            as_json,
        )  # fmt: skip
        return
    if weights or frames or key_file or max_requests or dtype != "auto":
        raise ConfigError(
            "--weights, --frames, --dtype, --key-file and --max-requests are for systems side by side; "
            "name them with --system, such as --system ours,llava-next-video"
        )
    if not name:
        raise ConfigError(f"which evaluation? {EVAL_HELP} Or name systems to compare with --system")
    if name == "all":
        if route != "all" or names or drop:
            raise ConfigError("eval all measures every route and system; leave out --route, --system and --drop")
        from evaluation.reporting import report_all
        from evaluation.suite import SuiteOptions

        fetch_missing(model)
        suite = SuiteOptions(report or Path("eval-report"), folder, limit, model, device)
        report_all(suite, write_json if as_json else None)
        return
    from evaluation.report import print_columns
    from evaluation.run import Options, check, run

    if report is not None:
        raise ConfigError("--report is for: llama-vid eval all")
    options = check(Options(name, folder, route, "".join(names), limit, model, device, drop))
    fetch_missing(options.model)
    result, bundle = run(options)
    if as_json:
        write_json(result.to_json() | {"bundle": bundle})
    else:
        print_columns(result, bundle=bundle)


def _side_by_side(options: SystemsOptions, as_json: bool) -> None:
    """Systems side by side, told on stderr while they are measured, and the table on stdout."""
    from evaluation.systems import compare
    from evaluation.systems_table import print_systems

    if {"ours", "full"} & set(options.systems):
        fetch_missing(options.model)
    result = compare(options, say=lambda system: print(f"{system} …", file=sys.stderr, flush=True))
    if as_json:
        write_json(result.to_json())
    else:
        print_systems(result.title, result.systems, result.missing)
        print(f"\nAnswers, table and figures: {options.out}")
    if not result.systems:
        raise typer.Exit(1)


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's YAML file, its name, or all.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Run a training recipe after printing its plan; an interrupted run goes on where it stopped."""
    _need("training")
    from training.run import plan_recipe, run_recipe

    if dry_run:
        plan = plan_recipe(recipe)
        if as_json:
            write_json(plan.to_json())
        else:
            print(*plan.lines(), sep="\n")
        return
    report = run_recipe(recipe)
    if as_json:
        write_json(report)
    else:
        for key, value in report.items():
            print(f"{key}: {value}")


def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help=BENCH_HELP)],
    runs: Annotated[int | None, typer.Option("--runs", min=1, metavar="N", help="How often to measure.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, metavar="N", help="tokens: questions asked.")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="FILE", help="tokens: an evaluation's results.json.")
    ] = None,
    clients: Annotated[
        int | None, typer.Option("--clients", min=1, metavar="N", help="clients: how many at once.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, metavar="M", help="clients, glass: for how long.")
    ] = None,
    cameras: Annotated[
        int | None, typer.Option("--cameras", min=1, metavar="N", help="capacity: for how many.")
    ] = None,
    shape: Annotated[str | None, typer.Option("--shape", help="gpu: 7b, or tiny as a rehearsal.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a figure of the README, with the floor measured in the same run."""
    _need("benchmarks")
    from benchmarks.run import run_benchmarks
    from evaluation.report import print_table

    for result in run_benchmarks(
        name, runs=runs, limit=limit, results=results, clients=clients, minutes=minutes, cameras=cameras,
        shape=shape,
    ):  # fmt: skip
        if as_json:
            write_json(result.to_json())
        elif (printed := getattr(result, "print_rows", None)) is not None:
            printed()
        else:
            print_table(result)
