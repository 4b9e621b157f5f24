"""The report's page: one HTML file beside its pictures, which loads nothing from elsewhere.

It holds the table, the plots, and every question with its frames and what each system said, to be filtered by task,
outcome, system, kind and words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from evaluation.columns import Row, goal, reasons_of, rows_of_task, shown
from evaluation.frames import PHOTOS
from evaluation.plots import Plot
from evaluation.suite import Finished, Report
from evaluation.tasks import COLUMNS, NAMES, OURS

TEMPLATE: Final = Path(__file__).parent / "pages" / "report.html"


def write_page(report: Report, out: Path, plots: Sequence[Plot], *, took: str) -> Path:
    """Write `index.html` into the report's folder; `took` says how long the evaluations ran."""
    facts = [
        ("bundle", f"{report.model} {report.bundle}"),
        ("measured", report.created.replace("T", " ").replace("+00:00", " UTC")),
        ("took", f"{took} on {report.cpus} CPU cores"),
    ]
    if report.limit:
        facts.append(("limit", f"{report.limit} items a task"))
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        model=escape(report.model),
        bundle=report.bundle,
        facts="".join(f"<li>{name} <b>{escape(value)}</b></li>" for name, value in facts),
        rows="".join(line for one in report.finished for line in _table_lines(one)),
        notes="".join(f"<li>{escape(note)}</li>" for note in _notes(report)),
        plots="".join(map(_figure, plots)),
        # "<" ends no script element here, whatever a model wrote.
        data=json.dumps(list(cases_of(report)), ensure_ascii=False).replace("<", "\\u003c"),
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def cases_of(report: Report) -> Iterator[dict[str, Any]]:
    """Every question once, with what each system said to it; the frames are those of the first system's answer."""
    for one in report.finished:
        tokens = one.route == "tokens"
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for case in one.cases:
            clip = Path(case["clip"])
            item = found.setdefault(
                (str(clip), case["question"], case["wanted"]),
                {
                    "task": f"{one.name}{' (tokens)' if tokens else ''}",
                    "kind": case["kind"],
                    "clip": clip.name,
                    "photo": clip.suffix.lower() in PHOTOS,
                    "question": case["question"],
                    "wanted": case["wanted"],
                    "frames": case["frames"],
                    "says": [],
                },
            )
            item["says"].append({"system": case["system"], "said": case["said"], "right": case["right"]})
        yield from found.values()


def _table_lines(one: Finished) -> Iterator[str]:
    if one.result is None:
        why = f"skipped: {one.skipped}" if one.skipped else f"failed: {one.failed}"
        yield f'<tr><td>{_title(one)}</td><td></td><td colspan="6" class="soft">{escape(why)}</td><td></td></tr>'
        return
    rows = rows_of_task(one.result)
    for number, row in enumerate(rows):
        first = number == 0
        cells = "".join(_cell(row, column) for column in COLUMNS[1:])
        mark = {True: "good", False: "bad", None: ""}[row.met]
        target = f'<span class="chip {mark}">{escape(goal(row))}</span>' if row.target is not None else ""
        yield (
            f"<tr{'' if first else ' class=again'}><td>{_title(one) if first else ''}</td>"
            f"<td>{f'{row.n:,}' if first else ''}</td><td>{escape(row.label)}</td>"
            f'<td class="ours">{shown(row.values.get(OURS))}{_bar(row)}</td>{cells}'
            f"<td>{target}</td><td>{f'{one.seconds:.0f} s' if first else ''}</td></tr>"
        )


def _title(one: Finished) -> str:
    route = " <small>two tokens alone</small>" if one.route == "tokens" else ""
    return f"<b>{escape(one.name)}</b>{route}<br><small>{escape(NAMES[one.name].asks)}</small>"


def _cell(row: Row, column: str) -> str:
    value = row.values.get(column)
    why = row.why.get(column, "")
    return f'<td title="{escape(why)}">{shown(value)}</td>' if value is None and why else f"<td>{shown(value)}</td>"


def _bar(row: Row) -> str:
    value = row.values.get(OURS)
    if value is None:
        return ""
    target = f'<u style="left:{100 * min(1.0, row.target):.1f}%"></u>' if row.target is not None else ""
    return f'<span class="bar"><i style="width:{100 * min(1.0, max(0.0, value)):.1f}%"></i>{target}</span>'


def _figure(plot: Plot) -> str:
    wide = " class=wide" if plot.file == "tasks.png" else ""
    caption = escape(plot.caption)
    return f'<figure{wide}><img src="{plot.file}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _notes(report: Report) -> list[str]:
    """Why columns are empty, and what else must be known to read the table."""
    notes = reasons_of([row for one in report.finished if one.result is not None for row in rows_of_task(one.result)])
    earlier = [one.name for one in report.finished if one.program != report.program]
    if earlier:
        notes.append(f"Measured with an earlier state of the program: {', '.join(dict.fromkeys(earlier))}.")
    return notes
