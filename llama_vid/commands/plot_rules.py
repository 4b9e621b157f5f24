"""`replay --plot`: every rule's score over time, its threshold, and its events, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Final

from llama_vid.commands.terminal import clock
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.watcher import AUTO, Second
from llama_vid.memory.alerts import AlertChange

#: Colours of events: looked at twice and confirmed, not looked at, withdrawn.
COLOURS: Final = {True: "#2e8b57", None: "#e08a2e", False: "#c0392b"}


def draw_rules(
    rules: Sequence[Rule], changes: Sequence[AlertChange], seconds: Sequence[Second], path: Path, *, title: str
) -> None:
    """Write a PNG: a row for each rule, its score second by second, the threshold dashed, events shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(12, 0.8 + 1.3 * max(1, len(rules))), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(max(1, len(rules)), 1, sharex=True, squeeze=False)[:, 0]
    ended = [change.event for change in changes if change.type == "end"]
    times = [second.start for second in seconds]
    for axes, rule in zip(rows, rules, strict=False):
        axes.plot(times, [second.scores.get(rule.name, 0.0) for second in seconds], linewidth=1, color="#2a6fb0")
        axes.axhline(AUTO if rule.threshold is None else rule.threshold, linestyle="--", linewidth=0.7, color="grey")
        for event in ended:
            if event.rule == rule.name and event.end is not None:
                axes.axvspan(event.start, event.end, alpha=0.3, color=COLOURS[event.verified], linewidth=0)
        axes.set_ylim(0, 1)
        axes.set_title(f"{rule.name}: {shorten(rule.when, 80, placeholder='…')}", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
    rows[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _position: clock(max(0.0, float(value)))))
    figure.suptitle(f"{title} (green: confirmed, orange: not looked at again, red: withdrawn)", fontsize=9)
    figure.savefig(path, format="png", dpi=110)
