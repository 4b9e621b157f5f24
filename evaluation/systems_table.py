"""Systems side by side as one table: on a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from evaluation.systems_figures import Share, SystemFigures

#: What question sets are called.
CALLED: Final = {"yesno": "yes/no", "open": "open"}


def rows_of(systems: Sequence[SystemFigures]) -> list[tuple[str, list[str]]]:
    """The table's rows: what a figure is called, and each system's."""
    asked = list(dict.fromkeys(name for each in systems for name in each.right))
    rows = [
        ("clips", [str(each.clips) for each in systems]),
        ("frames seen of a clip, mean (most)", [_frames(each) for each in systems]),
        ("tokens a frame", [_number(each.tokens_per_frame, 2) for each in systems]),
        ("tokens an hour at 1 FPS", [_number(each.tokens_per_hour, 0) for each in systems]),
        ("peak memory, MiB", [_number(each.rss_mib, 0) for each in systems]),
        ("peak GPU memory, MiB", [_number(each.cuda_mib, 0) for each in systems]),
        ("seconds to take a clip in", [_number(each.ingest_s, 2) for each in systems]),
    ]
    for name in asked:
        called = CALLED.get(name, name)
        rows += [
            (f"seconds a question, {called}", [_number(each.question_s.get(name), 2) for each in systems]),
            (f"right, {called}", [_share(each.right.get(name)) for each in systems]),
            ("  without any video", [_share(each.blind.get(name)) for each in systems]),
        ]
        kinds = sorted({kind for each in systems for kind in each.kinds.get(name, ())})
        rows += [(f"  {kind}", [_short(each.kinds.get(name, {}).get(kind)) for each in systems]) for kind in kinds]
    rows.append(("clips that failed", [str(len(each.failed)) for each in systems]))
    if any(each.left for each in systems):
        rows.append(("clips not asked yet", [str(each.left) for each in systems]))
    return [(name, cells) for name, cells in rows if any(cell != "–" for cell in cells)]


def lines_of(systems: Sequence[SystemFigures], missing: Sequence[tuple[str, str]]) -> list[str]:
    """What stands below the table: which model each system is, what it was given, and what is not there."""
    lines = [f"{each.name}: {each.label}; {each.notes}" for each in systems]
    lines += [f"{each.name}: {clip} failed: {why}" for each in systems for clip, why in each.failed.items()]
    lines += [f"{name} has no figures: {why}" for name, why in missing]
    if len({each.clips for each in systems}) > 1:
        lines.append("The systems answered about different numbers of clips: their shares do not compare yet.")
    return lines


def print_systems(
    title: str, systems: Sequence[SystemFigures], missing: Sequence[tuple[str, str]], console: Console | None = None
) -> None:
    """The table on stdout."""
    out = console or Console()
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for each in systems:
        table.add_column(each.name, justify="right")
    for name, cells in rows_of(systems):
        table.add_row(name, *cells)
    if systems:
        out.print(table)
    for line in lines_of(systems, missing):
        out.print(line, markup=False, highlight=False)


def markdown(title: str, systems: Sequence[SystemFigures], missing: Sequence[tuple[str, str]]) -> str:
    """The table as Markdown."""
    lines = [title, ""]
    if systems:
        lines += [f"| | {' | '.join(each.name for each in systems)} |", f"|---|{'--:|' * len(systems)}"]
        lines += [f"| {name.replace('  ', '– ')} | {' | '.join(cells)} |" for name, cells in rows_of(systems)]
    return "\n".join([*lines, "", *(f"- {line}" for line in lines_of(systems, missing))]) + "\n"


def _share(share: Share | None) -> str:
    """ "0.812 [0.70, 0.89] n 64": a share with its interval and its n."""
    if share is None or share.value is None or share.interval is None:
        return "–"
    low, high = share.interval
    return f"{share.value:.3f} [{low:.2f}, {high:.2f}] n {share.n}"


def _short(share: Share | None) -> str:
    return "–" if share is None or share.value is None else f"{share.value:.2f} n {share.n}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _frames(each: SystemFigures) -> str:
    return "–" if each.frames is None else f"{each.frames:.1f} ({each.frames_most})"
