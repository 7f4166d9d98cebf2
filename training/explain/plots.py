"""What `explain` found, drawn."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from training.drawing import PALETTE, drawn
from training.explain.day import HOURS, Day
from training.explain.importance import Importance

COLOURS = {"candidates": PALETTE[0], "requests": PALETTE[1]}
KINDS = {"candidates": "differs between candidates", "requests": "the same for a whole list"}
NAMED = 3  # places of an hour that are written into the heat map


def bars(found: Importance, path: Path) -> None:
    """Horizontal bars, the feature that costs most on top, with the spread over the permutations."""
    features = found.features
    with drawn(path, width=8.0, height=1.9 + 0.28 * len(features)) as figure:
        axes = figure.subplots()
        axes.barh(
            range(len(features)),
            [feature.mean for feature in features],
            xerr=[feature.spread for feature in features],
            color=[COLOURS[feature.among] for feature in features],
            error_kw={"ecolor": "#333333", "elinewidth": 1.0, "capsize": 2.5},
        )
        axes.set_yticks(range(len(features)), [feature.name for feature in features])
        axes.set_ylim(len(features) - 0.4, -0.6)
        axes.axvline(0.0, color="#333333", linewidth=0.8)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(
            f"What each feature is worth to {found.task}: {found.words} {found.value:.4f} with all"
        )
        axes.set_xlabel(
            f"how much worse {found.words} gets when the feature is permuted\n"
            f"mean ± standard deviation of {len(found.together.drops)} permutations, {found.requests:,} requests"
        )
        _legend(figure, found)


def heat(found: Day, path: Path) -> None:
    """Items by hours, brighter for a higher score, the first places written into their cells."""
    scores = np.array(found.scores)
    with drawn(path, width=11.0, height=1.9 + 0.33 * len(found.items)) as figure:
        axes = figure.subplots()
        mesh = axes.pcolormesh(scores, cmap="cividis", edgecolors="white", linewidth=0.5)
        middle = (scores.min() + scores.max()) / 2
        for (item, hour), place in np.ndenumerate(np.array(found.places)):
            if place <= NAMED:
                colour = "black" if scores[item, hour] > middle else "white"
                axes.text(hour + 0.5, item + 0.5, str(place), color=colour, ha="center", va="center")
        axes.set_xticks(np.arange(HOURS) + 0.5, [f"{hour:02d}" for hour in range(HOURS)])
        axes.set_yticks(np.arange(len(found.items)) + 0.5, found.titles)
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.set_title(
            f"The same user, the same {len(found.items)} items, every hour of {found.date}: {found.measure}"
        )
        axes.set_xlabel(
            f"hour of the day, {found.timezone}; 1, 2 and 3 are the first places of the hour\n"
            f"of {found.users} users the one whose answers change most"
        )
        figure.colorbar(mesh, ax=axes, label=found.measure, pad=0.01)


def _legend(figure: Figure, found: Importance) -> None:
    """Below the plot, where no bar can reach."""
    kinds = [kind for kind in KINDS if any(feature.among == kind for feature in found.features)]
    patches = [Patch(color=COLOURS[kind], label=KINDS[kind]) for kind in kinds]
    figure.legend(handles=patches, loc="outside lower right", ncols=len(kinds), frameon=False)
