"""`timeline --plot`: the spans of a video as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from llama_vid.commands.terminal import clock
from llama_vid.errors import ConfigError
from llama_vid.llm.answer import Span

CAPTION_LETTERS = 60


def check_target(path: Path) -> None:
    """Refuse a picture that cannot be written, before the work for it. Raises ConfigError."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--plot writes PNG pictures: {path} should end in .png")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot cannot write {path}: there is no folder {path.absolute().parent}")


def draw_timeline(spans: Sequence[Span], path: Path, *, title: str) -> None:
    """Write a PNG: a row for each span, from start to end, darker the more moves in it, its caption beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(12, 1.2 + 0.32 * max(1, len(spans))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    end = max((span.end for span in spans), default=1.0)
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _position: clock(float(seconds))))
    axes.set_title(f"{title} (darker: more motion)", fontsize=10)
    figure.savefig(path, format="png", dpi=110)
