"""Plots as SVG files: text stays text, the same numbers make the same bytes, colours that everyone can tell apart.

Colours of categories are those of Okabe and Ito (2008), of values matplotlib's cividis (Nuñez et al. 2018).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",  # text as text
    "svg.hashsalt": "chorus",  # ids that do not differ from run to run
    "text.parse_math": False,  # titles may cost $5
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")


@contextmanager
def drawn(path: Path, *, width: float, height: float) -> Iterator[Figure]:
    """A figure in inches that is written at the end; no display, no state that outlives it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        yield figure
        figure.savefig(path, format="svg", metadata={"Date": None})
