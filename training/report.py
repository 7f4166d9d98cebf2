"""The run's tables for people: one Markdown file, the same as a page of its own, and the rows for a terminal.

The run's plots are shown below the tables, with what `chorus-train explain` left in its folder, then its
configuration.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable

from training import charts
from training.evaluate import LOWER_IS_BETTER
from training.page import page
from training.run import Run
from training.worth import delta, worth

SHOWN = {
    "impression_auc": "imp. AUC", "user_auc": "user AUC", "mrr": "MRR", "ndcg@5": "nDCG@5", "ndcg@10": "nDCG@10",
    "auc": "AUC",
    "log_loss": "log loss", "ece": "ECE", "accuracy": "accuracy", "macro_f1": "macro F1", "micro_f1": "micro F1",
    "macro_auc": "macro AUC", "log_rmse": "log RMSE", "log_mae": "log MAE", "rmse": "RMSE", "mae": "MAE",
    "spearman": "Spearman", "log_pinball": "log pinball", "pinball": "pinball", "coverage_error": "coverage error",
}  # fmt: skip
COVERAGE = "coverage@"  # and the quantile: shown after all others, neither high nor low being better
METHODS = ("joint", "earlier", "alone")
PLOTS = {
    "learning": "How it learned", "worth": "Joint minus alone", "gates": "What the gates let through",
    "reliability": "Whether chances are true",
}  # fmt: skip
EXPLAINED = {"importance": "What each feature is worth", "day": "One user's answers over a day"}


def tables(record: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """For each task its name, columns and rows: the joint model first, then the run it went on from, then alone."""
    tests = record["tests"]
    order = [*(name for name in METHODS if name in tests), *(name for name in tests if name not in METHODS)]
    for task, ours in tests["joint"].items():
        columns = [name for name in SHOWN if name in ours]
        columns += [name for name in ours if name.startswith(COVERAGE)]
        rows = []
        for method in order:
            found = tests[method].get(task)
            if found is not None:
                rows.append([method, *(_cell(found.get(name)) for name in columns)])
        yield task, columns, rows


def markdown(name: str, record: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [f"# {name}: test part", "", f"Data: {_facts(record['data'])}.", ""]
    for task, columns, rows in tables(record):
        heads = ["method", *map(_heading, columns)]
        lines += [f"## {task}", "", _row(heads), _row(["---"] * len(heads))]
        lines += [*(_row(row) for row in rows), ""]
    if "fusion" in record:
        lines += ["## Fusion", "", *_fusion(record["fusion"]), ""]
    if record["retrieval"]:
        found = ", ".join(f"{metric} {value:.4f}" for metric, value in record["retrieval"].items())
        lines += ["## Retrieval over the whole catalogue", "", found, ""]
    if record.get("gates"):
        lines += ["## Shares of the experts", "", *_gates(record["gates"]), ""]
    if "headlines" in record and record["tests"].get("alone"):
        lines += ["## Worth of training together", "", *worthwhile([record]), ""]
    if record.get("slices"):
        lines += ["## For whom and for what", "", *_slices(record["slices"]), ""]
    if record.get("costs"):
        lines += ["## What it cost", "", *_costs(record["costs"], record.get("taught", [])), ""]
    return "\n".join(lines)


def _fusion(found: Mapping[str, Any]) -> Iterator[str]:
    """What was tried for the goal, the chosen one in bold, and what it gains on the test part."""
    goal = " + ".join(f"{weight:g} {written}" for written, weight in found["goal"].items())
    yield f"The mean of the goal: {goal}. Weights were found on the validation part; what is bold is in the bundle."
    yield "Unseen: mean of 5-fold cross-validation within that part, weights found without the fold."
    yield ""
    heads = ["fusion", "of", "validation, seen ↑", "unseen ↑", "test ↑"]
    yield from (_row(heads), _row(["---"] * len(heads)))
    for name, each in found["fusions"].items():
        mark = "**" if name == found["chosen"] else ""
        of = f"{each['method']}: " + ", ".join(
            f"{task} {weight:g}" for task, weight in each["weights"].items()
        )
        values = [_cell(each[part]) for part in ("validation", "unseen", "test")]
        yield _row([f"{mark}{name}{mark}", of, *values])
    yield ""
    for written, gain in found["gains"].items():
        half = "" if gain["half"] is None else f" ± {gain['half']:.4f} (95 %, {gain['units']:,} units)"
        yield f"- {written} on the test part, over equal weights: {gain['mean']:+.4f}{half}"


def worthwhile(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Joint minus alone of one run or over several, and Δm."""
    found = worth(records)
    heads = ["task", "metric", "joint", "alone", "gain", "percent"]
    yield from (_row(heads), _row(["---"] * len(heads)))
    for task in found:
        cells = [f"{task.joint:.4f}", f"{task.alone:.4f}", task.gain.written(), task.share.written(2, 100.0)]
        yield _row([task.task, _heading(task.metric), *cells])
    runs = "one run" if len(records) == 1 else f"{len(records)} runs, 95 % intervals"
    yield ""
    yield f"Δm {delta(found, records).written(2, 100.0)} % ({runs}). Positive is better for the joint model."


def _draw(folder: Path, record: Mapping[str, Any]) -> None:
    epochs = [each for each in Run(folder).epochs if "weights" in each]
    if epochs:
        charts.learning(epochs, folder / "learning.svg")
    if record.get("gates"):
        charts.gates(record["gates"], folder / "gates.svg")
    if record.get("reliability"):
        charts.reliability(record["reliability"], folder / "reliability.svg")
    if "headlines" in record and record["tests"].get("alone"):
        charts.worth(worth([record]), folder / "worth.svg")


def _gates(gates: Mapping[str, Any]) -> Iterator[str]:
    count = max(len(found["experts"]) for found in gates.values())
    heads = ["task", *(f"expert {number + 1}" for number in range(count)), "entropy"]
    yield from (_row(heads), _row(["---"] * len(heads)))
    for name, found in gates.items():
        yield _row([name, *(f"{share:.3f}" for share in found["experts"]), f"{found['entropy']:.3f}"])


def _slices(found: Mapping[str, Any]) -> Iterator[str]:
    """Each task's headline metric on parts of the test rows, joint and alone."""
    yield (
        "Each task's first metric on a part of the test rows alone. Cold: a user of whom nothing is known, an item "
        "that training never showed. Head: the fifth of the items that training showed most."
    )
    yield ""
    yield from (_row(["task", "slice", "rows", "metric", *found]), _row(["---"] * (4 + len(found))))
    for task, parts in found["joint"].items():
        for part, told in parts.items():
            values = [_cell(each.get(task, {}).get(part, {}).get("value")) for each in found.values()]
            yield _row([task, part, f"{told['rows']:,}", _heading(told["metric"]), *values])


def _costs(found: Mapping[str, Any], taught: Sequence[str]) -> Iterator[str]:
    """Of the joint model, of each task alone, and of all of these together."""
    yield "Training without what is computed once for all, which is the texts where the encoder is frozen."
    if taught:
        yield f"The joint model's teachers were trained before it, and count as alone: {', '.join(taught)}."
    yield ""
    heads = ["", "epochs", "seconds", "CPU seconds", "parameters learned", "parameters"]
    yield from (_row(heads), _row(["---"] * len(heads)))
    alone = [each for name, each in found.items() if name != "joint"]
    total = {"all alone": {key: sum(each[key] for each in alone) for key in alone[0]}} if alone else {}
    for name, each in {**found, **total}.items():
        spent = [f"{each[key]:,.1f}" for key in ("seconds", "cpu")]
        sizes = [f"{each[key]:,}" for key in ("learned", "parameters")]
        yield _row([name, f"{each['epochs']:,}", *spent, *sizes])


def write(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """report.md of a run's folder, its plots, and report.html with all in one file."""
    _draw(folder, record)
    lines, ours = [markdown(name, record), *plots(folder)], folder / "config.toml"
    if ours.is_file():
        lines += ["## Configuration", "", "```toml", ours.read_text().strip(), "```", ""]
    text = "\n".join(lines)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(f"{name}: report", text, folder))


def plots(folder: Path) -> list[str]:
    """Lines that show the plots of a run's folder, each with the caption that stands beside its numbers."""
    lines = []
    for name, heading in PLOTS.items():
        if (folder / f"{name}.svg").is_file():
            lines += [f"## {heading}", "", f"![{heading}]({name}.svg)", ""]
    for name, heading in EXPLAINED.items():
        if (folder / f"{name}.svg").is_file() and (folder / f"{name}.json").is_file():
            caption = json.loads((folder / f"{name}.json").read_bytes())["caption"]
            lines += [f"## {heading}", "", f"![{heading}]({name}.svg)", "", caption, ""]
    return lines


def rich(record: Mapping[str, Any]) -> Iterator[RichTable]:
    """The same for a terminal."""
    for task, columns, rows in tables(record):
        table = RichTable(
            title=task, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        table.add_column("method")
        for column in columns:
            table.add_column(
                _heading(column).replace(" ", "\n", 1).replace("@", "\n@"), justify="right", no_wrap=True
            )
        for row in rows:
            table.add_row(*row, style="bold" if row[0] == "joint" else None)
        yield table


def _heading(column: str) -> str:
    if column.startswith(COVERAGE):
        return column
    return f"{SHOWN[column]} {'↓' if column in LOWER_IS_BETTER else '↑'}"


def _cell(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4f}"  # noqa: PLR0124 - NaN


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _facts(data: Mapping[str, Any]) -> str:
    parts = [
        f"{data['items']:,} items",
        f"{data['users']:,} users",
        f"{data['history_events']:,} history events",
    ]
    parts += [f"{part} {count:,} requests" for part, count in data["requests"].items()]
    return ", ".join(parts)
