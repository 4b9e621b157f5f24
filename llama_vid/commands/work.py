"""`eval`, `train` and `bench`: measuring and training, which use the program from outside."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Final

import typer

from llama_vid.commands.models import fetch_missing
from llama_vid.commands.terminal import Device, Json, ModelName, write_json
from llama_vid.errors import ConfigError

BENCH_HELP: Final = (
    "cold_start, hour, ttft, frame, file, cameras, day, recompute, tokens, alerts, clients, glass, captions, or all."
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
    name: Annotated[str, typer.Argument(metavar="NAME", help=EVAL_HELP)],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="The questions and videos; by default found through LLAMA_VID_DATA."),
    ] = None,
    route: Annotated[
        str, typer.Option("--route", help="all: everything the program has; tokens: the two tokens a frame alone.")
    ] = "all",
    system: Annotated[
        str, typer.Option("--system", help="Measure this system alone: a baseline's name, or llama-vid.")
    ] = "",
    drop: Annotated[
        str, typer.Option("--drop", help="With --route tokens: take the motion or the context token away.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only N of them, spread evenly.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="OUT", help="With all: where results, table, plots and the page go."),
    ] = None,
    as_json: Json = False,
    model: ModelName = "mini",
    device: Device = "auto",
) -> None:
    """Measure the model on a question set, beside its baselines."""
    _need("evaluation")
    if name == "all":
        if route != "all" or system or drop:
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
    options = check(Options(name, folder, route, system, limit, model, device, drop))
    fetch_missing(options.model)
    result, bundle = run(options)
    if as_json:
        write_json(result.to_json() | {"bundle": bundle})
    else:
        print_columns(result, bundle=bundle)


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
        float | None, typer.Option("--minutes", min=0.1, metavar="M", help="clients: for how long.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a figure of the README, with the floor measured in the same run."""
    _need("benchmarks")
    from benchmarks.run import run_benchmarks
    from evaluation.report import print_table

    for result in run_benchmarks(name, runs=runs, limit=limit, results=results, clients=clients, minutes=minutes):
        if as_json:
            write_json(result.to_json())
        elif (printed := getattr(result, "print_rows", None)) is not None:
            printed()
        else:
            print_table(result)
