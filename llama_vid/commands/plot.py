"""`timeline --plot`: what happens when, and what memory keeps of it, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from llama_vid.commands.terminal import clock
from llama_vid.errors import ConfigError
from llama_vid.llm.answer import Span

if TYPE_CHECKING:
    from llama_vid.memory.entry import MemoryEntry

CAPTION_LETTERS: Final = 60
#: Spans that are drawn with their captions; of a longer timeline, those of the most motion and length.
ROWS: Final = 60
#: How a kept entry is drawn: one frame, a still stretch, several merged frames, an alert.
KINDS: Final = {"frame": "#2a6fb0", "still": "#a9c4dd", "merged": "#e08a2e", "pinned": "#c0392b"}


def check_target(path: Path) -> None:
    """Refuse a picture that cannot be written, before the work for it. Raises ConfigError."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--plot writes PNG pictures: {path} should end in .png")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot cannot write {path}: there is no folder {path.absolute().parent}")


def draw_timeline(spans: Sequence[Span], entries: Sequence[MemoryEntry], path: Path, *, title: str) -> None:
    """Write a PNG: a row for each span, from start to end, darker the more moves in it, its caption beside it; below,
    every entry that memory keeps, and how many tokens it spends where.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    shown = _most_telling(spans)
    height = 1.2 + 0.32 * max(1, len(shown))
    figure = Figure(figsize=(12, height + 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(height, 2.2))
    end = max([*(span.end for span in spans), *(entry.end for entry in entries)], default=1.0)
    _draw_spans(upper, shown, end)
    hidden = f", {len(spans) - len(shown)} more not shown" if len(shown) < len(spans) else ""
    upper.set_title(f"{title} (darker: more motion{hidden})", fontsize=10)
    _draw_memory(lower, entries, end)
    lower.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _position: clock(float(seconds))))
    figure.savefig(path, format="png", dpi=110)


def _most_telling(spans: Sequence[Span]) -> list[Span]:
    """At most ROWS spans, in time order."""
    best = sorted(spans, key=lambda span: (span.end - span.start) * (1 + 2 * span.motion), reverse=True)[:ROWS]
    return sorted(best, key=lambda span: span.start)


def _draw_spans(axes: Any, spans: Sequence[Span], end: float) -> None:
    from matplotlib.colors import Normalize

    shades = Normalize(0.0, 1.0)
    for row, span in enumerate(spans):
        left, width = span.start, max(span.end - span.start, end / 400)
        shade = 0.75 - 0.55 * float(shades(span.motion))
        axes.barh(row, width, left=left, height=0.7, color=(shade * 0.7, shade * 0.85, min(1.0, shade + 0.2)))
        # The caption stands on the side of the bar that has more room.
        at_left = left + width > end * 0.5
        axes.text(
            left - end * 0.005 if at_left else left + width + end * 0.005,
            row,
            shorten(span.caption, CAPTION_LETTERS, placeholder="…"),
            ha="right" if at_left else "left",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(0, end)
    axes.set_ylim(max(1, len(spans)) - 0.5, -0.5)
    axes.set_yticks([])


def _draw_memory(axes: Any, entries: Sequence[MemoryEntry], end: float) -> None:
    """Every entry as a bar from its start to its end, as high as its motion energy, coloured by its kind."""
    kinds = [_kind(entry) for entry in entries]
    for kind, colour in KINDS.items():
        bars = [entry for entry, its in zip(entries, kinds, strict=True) if its == kind]
        if not bars:
            continue
        axes.bar(
            [entry.start for entry in bars],
            [0.04 + 0.96 * entry.energy for entry in bars],
            width=[max(entry.end - entry.start, end / 2000) for entry in bars],
            align="edge",
            color=colour,
            edgecolor="white",
            linewidth=0.2 if len(entries) < 600 else 0.0,
            label=f"{_plural(kind, len(bars))}",
        )
    frames = sum(entry.frames for entry in entries)
    axes.set_title(f"kept: {frames:,} frames in {len(entries):,} entries, {2 * len(entries):,} tokens", fontsize=9)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("motion", fontsize=8)
    axes.tick_params(labelsize=8)
    if entries:
        axes.legend(fontsize=7, ncols=len(KINDS), loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _kind(entry: MemoryEntry) -> str:
    from llama_vid.llm.recall import is_coarse

    if entry.pinned:
        return "pinned"
    if entry.frames == 1:
        return "frame"
    return "merged" if is_coarse(entry) else "still"


def _plural(kind: str, count: int) -> str:
    noun = {"frame": "single frame", "still": "still stretch", "merged": "merged entry", "pinned": "pinned entry"}[kind]
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} " + {"still": "still stretches", "frame": "single frames"}.get(kind, noun[:-1] + "ies")
