"""The plots of a run: how it learned, how its gates chose, whether its chances are true, what sharing was worth."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from training.drawing import PALETTE, drawn
from training.worth import Worth

GREY = "#666666"


def learning(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Epochs of the log: each task's loss in training, what decides on validation, each task's weight."""
    with drawn(path, width=11.0, height=4.2) as figure:
        losses, decides, weights = figure.subplots(1, 3)
        _lines(losses, records, "losses", "loss in training; 1 is a constant")
        _lines(weights, records, "weights", "weight")
        epochs, values = [each["epoch"] for each in records], [each["decides"] for each in records]
        decides.plot(epochs, values, color=PALETTE[0], marker="o", markersize=3)
        best = int(np.argmin(values))
        decides.plot(epochs[best], values[best], color=PALETTE[5], marker="o", markersize=6)
        decides.set_title("what decides on validation; the best is kept")
        for axes in (losses, decides, weights):
            axes.set_xlabel("epoch")
            axes.locator_params(axis="x", integer=True)
        handles, names = losses.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 6), frameon=False)


def gates(usage: Mapping[str, Any], path: Path) -> None:
    """Tasks by experts, brighter for a greater share, which is written in."""
    shares = np.array([found["experts"] for found in usage.values()])
    with drawn(path, width=2.5 + 0.8 * shares.shape[1], height=1.4 + 0.4 * len(shares)) as figure:
        axes = figure.subplots()
        mesh = axes.pcolormesh(shares, cmap="cividis", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=0.5)
        for (task, expert), share in np.ndenumerate(shares):
            if share > 0.0:
                colour = "black" if share > 0.5 else "white"
                axes.text(expert + 0.5, task + 0.5, f"{share:.2f}", color=colour, ha="center", va="center")
        axes.set_xticks(np.arange(shares.shape[1]) + 0.5, [str(n + 1) for n in range(shares.shape[1])])
        axes.set_yticks(np.arange(len(shares)) + 0.5, list(usage))
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.set_xlabel("expert")
        figure.colorbar(mesh, ax=axes, label="mean share", pad=0.02)


def reliability(found: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """A panel a task: of rows that were told a chance, how many came true."""
    with drawn(path, width=3.2 * len(found), height=3.4) as figure:
        for axes, (name, bins) in zip(
            figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
        ):
            end = max([*bins["said"], *bins["seen"], 1e-6]) * 1.05
            axes.plot([0.0, end], [0.0, end], color=GREY, linewidth=0.8, linestyle="--")
            axes.plot(bins["said"], bins["seen"], color=PALETTE[0], marker="o", markersize=4)
            axes.set_title(name)
            axes.set_xlabel("chance that was told")
            axes.set_ylabel("share that came true")


def worth(found: Sequence[Worth], path: Path) -> None:
    """Each task's gain by being trained with the others, in percent, with its interval over runs."""
    with drawn(path, width=8.0, height=1.4 + 0.4 * len(found)) as figure:
        axes = figure.subplots()
        for place, task in enumerate(found):
            mean, half = 100.0 * task.share.mean, 100.0 * (task.share.half or 0.0)
            axes.errorbar(mean, place, xerr=half, color=PALETTE[0], marker="o", capsize=3.0)
        axes.axvline(0.0, color=GREY, linewidth=0.8)
        axes.set_yticks(range(len(found)), [f"{task.task} ({task.metric})" for task in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel("joint minus alone, percent of alone; to the right the joint model is better")


def _lines(axes: Axes, records: Sequence[Mapping[str, Any]], key: str, title: str) -> None:
    names = list(dict.fromkeys(name for each in records for name in each[key]))
    for name, colour in zip(names, cycle(PALETTE), strict=False):
        told = [(each["epoch"], each[key][name]) for each in records if name in each[key]]
        axes.plot(*zip(*told, strict=True), color=colour, marker="o", markersize=3, label=name)
    axes.set_title(title)
