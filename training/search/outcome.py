"""What a search found: the best configuration as a file for `chorus-train run`, tables and plots.

<search>/best.toml      the configuration with the best trial's values, comments and all; its paths as seen from here
<search>/search.md      all trials, best first, and what each key is worth
<search>/search.svg     the trials in order, and the same worth
<search>/search.json    the numbers
"""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
import tomlkit
from matplotlib.axes import Axes
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from training.drawing import PALETTE, drawn
from training.edit import put
from training.errors import ConfigError
from training.evaluate import LOWER_IS_BETTER
from training.search.space import Space
from training.search.trials import WHY

FEW = 4  # trials, below which nothing is said of what a key is worth
TABLES = ("items", "events", "users")
STATES = {TrialState.COMPLETE: "whole", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}


def record(space: Space, study: optuna.Study) -> dict[str, Any]:
    """The trials as plain values: their metric as people read it, and what they were tried with.

    Raises ConfigError if none came to its end.
    """
    told = [_trial(space, trial) for trial in study.get_trials(deepcopy=False) if trial.state in STATES]
    whole = [trial for trial in told if trial["state"] == "whole"]
    if not whole:
        why = next((trial["why"] for trial in told if trial["why"]), "all were stopped")
        raise ConfigError(f"search: no trial came to its end; the first: {why}")
    return {
        "metric": space.metric,
        "better": "less" if _falls(space) else "more",
        "folds": space.search.folds,
        "group": space.search.group if space.search.folds > 1 else None,
        "best": (min if _falls(space) else max)(whole, key=lambda trial: trial["value"]),
        "importance": _importance(study),
        "trials": told,
    }


def write(space: Space, found: Mapping[str, Any], *, source: Path, folder: Path) -> Path:
    """All files; the path of best.toml, from the configuration `source`."""
    (folder / "search.json").write_text(json.dumps(found, indent=2))
    (folder / "search.md").write_text("\n".join(markdown(found)))
    _draw(found, folder / "search.svg")
    best = folder / "best.toml"
    best.write_text(_best(space, found, source, folder))
    return best


def markdown(found: Mapping[str, Any]) -> list[str]:
    """The tables."""
    best, keys = found["best"], list(found["best"]["values"])
    arrow = "↓" if found["better"] == "less" else "↑"
    parts = "the validation part" if found["folds"] == 1 else f"{found['folds']} folds by {found['group']}"
    lines = [f"# Search: {found['metric']} on {parts}", ""]
    lines += [f"Best: trial {best['number']}, {best['value']:.4f}. The test part was not read.", ""]
    rows = [["trial", f"{found['metric']} {arrow}", "state", "epochs", *keys]]
    for trial in _ordered(found):
        value = "" if trial["value"] is None else f"{trial['value']:.4f}"
        values = [_shown(trial["values"][key]) if key in trial["values"] else "" for key in keys]
        rows.append([str(trial["number"]), value, trial["state"], str(trial["epochs"]), *values])
    lines += _table(rows)
    failed = [f"- trial {trial['number']}: {trial['why']}" for trial in found["trials"] if trial["why"]]
    lines += ["", *failed, ""] if failed else [""]
    if found["importance"]:
        lines += ["## What each key is worth", "", "Its share of the variance between trials (fANOVA).", ""]
        lines += _table(
            [["key", "share"], *([key, f"{share:.3f}"] for key, share in found["importance"].items())]
        )
        lines += [""]
    return [*lines, "![Trials, and what each key is worth](search.svg)", ""]


def _trial(space: Space, trial: FrozenTrial) -> dict[str, Any]:
    told = trial.value if trial.state == TrialState.COMPLETE else _last(trial)
    value = None if told is None else told if _falls(space) else -told
    return {
        "number": trial.number,
        "value": value,
        "state": STATES[trial.state],
        "epochs": len(trial.intermediate_values),
        "values": space.written(trial.params),
        "why": trial.user_attrs.get(WHY),
    }


def _last(trial: FrozenTrial) -> float | None:
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None


def _falls(space: Space) -> bool:
    return space.metric.partition(":")[2] in LOWER_IS_BETTER


def _ordered(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whole trials by value, then the others."""
    sign = 1.0 if found["better"] == "less" else -1.0
    return sorted(
        found["trials"],
        key=lambda each: (each["state"] != "whole", each["value"] is None, sign * (each["value"] or 0.0)),
    )


def _importance(study: optuna.Study) -> dict[str, float]:
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    varied = {trial.value for trial in whole}
    if len(whole) < FEW or len(varied) < 2:
        return {}
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "| " + " | ".join(["---"] * len(rows[0])) + " |", *lines[1:]]


def _best(space: Space, found: Mapping[str, Any], source: Path, folder: Path) -> str:
    document, best = tomlkit.parse(source.read_text()), found["best"]
    document.remove("search")
    for name in TABLES:
        if name in document:
            document[name]["path"] = _moved(document[name]["path"], source.parent, folder)
    put(document, {**best["values"], "training.metric": space.metric})
    said = f"# Trial {best['number']} of a search: {space.metric} {best['value']:.4f}, on validation.\n"
    return said + tomlkit.dumps(document)


def _moved(paths: Any, before: Path, now: Path) -> Any:
    """Relative paths as seen from another folder."""
    if isinstance(paths, str):
        return os.path.relpath(before / paths, now)
    return [os.path.relpath(before / path, now) for path in paths]


def _draw(found: Mapping[str, Any], path: Path) -> None:
    with drawn(path, width=10.0, height=3.8) as figure:
        history, importance = figure.subplots(1, 2)
        _history(history, found)
        bars = sorted(found["importance"].items(), key=lambda each: each[1])
        importance.barh([key for key, _ in bars], [share for _, share in bars], color=PALETTE[0])
        importance.set_title("share of the variance between trials")


def _history(axes: Axes, found: Mapping[str, Any]) -> None:
    whole = [trial for trial in found["trials"] if trial["state"] == "whole"]
    up = [trial for trial in found["trials"] if trial["state"] == "given up" and trial["value"] is not None]
    axes.plot([each["number"] for each in whole], [each["value"] for each in whole], "o", color=PALETTE[0])
    axes.plot([each["number"] for each in up], [each["value"] for each in up], "x", color="#666666")
    choose = min if found["better"] == "less" else max
    best = list(accumulate((each["value"] for each in whole), choose))
    axes.step([each["number"] for each in whole], best, where="post", color=PALETTE[5])
    axes.set_title(f"{found['metric']}; the line is the best so far, × was given up")
    axes.set_xlabel("trial")
    axes.locator_params(axis="x", integer=True)
