"""The report of `eval all`: `results.json`, `table.md`, plots and `index.html` in one folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.columns import Row, markdown, rows_of_task
from evaluation.page import write_page
from evaluation.plots import write_plots
from evaluation.suite import Report, SuiteOptions, run_suite
from llama_vid.errors import ConfigError


def report_all(options: SuiteOptions, show: Callable[[Any], None] | None = None) -> Report:
    """Run the suite and write its report; `show` gets its JSON, else the table is printed.

    Raises ConfigError if the folder cannot be written or there is no data.
    """
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"the report cannot go to {options.out}: {problem.strerror}; name another folder") from None
    if not os.access(options.out, os.W_OK):
        raise ConfigError(f"the report cannot go to {options.out}: it is not writable; name another folder")
    report = run_suite(options, say=lambda line: print(line, file=sys.stderr, flush=True))
    write_report(report, options.out)
    if show is not None:
        show(report.to_json())
    else:
        print(table_of(report), end="")
        print(f"\nReport: {options.out / 'index.html'}")
    return report


def write_report(report: Report, out: Path) -> None:
    """Write everything that `report` holds into its folder."""
    (out / "results.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(table_of(report), encoding="utf-8")
    plots = write_plots([one.result for one in report.finished if one.result is not None], out)
    write_page(report, out, plots, took=minutes(report))


def rows_of(report: Report) -> list[Row]:
    """All rows of the table."""
    return [row for one in report.finished if one.result is not None for row in rows_of_task(one.result)]


def table_of(report: Report) -> str:
    """The README's table, headed by what was measured and how long it took; what is missing stands below it."""
    limit = f", {report.limit} items a task" if report.limit else ""
    header = f"Bundle `{report.model}` {report.bundle}, {minutes(report)} on {report.cpus} CPU cores{limit}."
    lines = [markdown(rows_of(report), header)]
    lines += [f"- {one.name} ({one.route}) was skipped: {one.skipped}\n" for one in report.finished if one.skipped]
    lines += [f"- {one.name} ({one.route}) failed: {one.failed}\n" for one in report.finished if one.failed]
    if any(one.program != report.program for one in report.finished):
        lines.append("- Some results are of an earlier state of the program; delete their files to run them again.\n")
    return "".join(lines)


def minutes(report: Report) -> str:
    """How long the evaluations took together, those taken from an earlier run included."""
    seconds = sum(one.seconds for one in report.finished)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
