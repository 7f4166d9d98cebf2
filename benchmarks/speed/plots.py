"""What the page shows as pictures: how many times as fast as everyone, and how waits grow with the load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.lineup import CHORUS
from training.drawing import drawn

OURS, THEIRS, GREY = "#0072B2", "#E69F00", "#999999"
ERRORS = {"ecolor": "#333333", "elinewidth": 1.0, "capsize": 2.5}


def ratios(found: Mapping[str, Any], path: Path, *, size: str = "500") -> None:
    """Requests a second of Chorus to each other one's, a bar each, with the ends of the rounds."""
    told = found["sizes"][size]["Chorus to"]
    names = [name for name in told if not name.startswith((CHORUS, "bare", "in-process"))]
    middle = [told[name]["median"] for name in names]
    ends = [
        [told[name]["median"] - told[name]["min"] for name in names],
        [told[name]["max"] - told[name]["median"] for name in names],
    ]
    with drawn(path, width=8.0, height=1.6 + 0.36 * len(names)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(names)), middle, xerr=ends, color=OURS, error_kw=ERRORS)
        for place, value in enumerate(middle):
            axes.text(ends[1][place] + value, place, f"  {value:.1f} ×", va="center")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xscale("log")
        axes.axvline(1.0, color="#333333", linewidth=0.8)
        axes.set_title(f"Chorus to others: requests a second on one core, {size} candidates, every head")
        axes.set_xlabel("times as many requests a second; median, least and greatest of the rounds")


def waits(found: Mapping[str, Any], path: Path, *, size: str = "100") -> None:
    """p50 and p99 by the share of saturation, of Chorus and of the plain app."""
    with drawn(path, width=8.0, height=3.6) as figure:
        axes = figure.subplots()
        for (name, told), colour in zip(found[size].items(), (OURS, THEIRS), strict=False):
            shares = [float(share) for share in told["loads"]]
            for percentile, style in (("p50", "-"), ("p99", "--")):
                spreads = [waits[percentile] for waits in told["loads"].values()]
                label = f"{name}, {percentile} (saturates at {told['saturation']['median']:.0f}/s)"
                axes.plot(
                    shares, [each["median"] for each in spreads], style, color=colour, marker="o", label=label
                )
                low, high = ([each[end] for each in spreads] for end in ("min", "max"))
                axes.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0.0)
        axes.set_yscale("log")
        axes.set_xlabel("requests a second, as a share of what saturates each")
        axes.set_ylabel("ms")
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_title(
            f"How long one waits, {size} candidates: constant rate, counted from when a request was due"
        )
        axes.legend(frameon=False)
