"""`chorus-train search`: other settings, trial after trial."""

from pathlib import Path
from typing import Annotated

import typer

from training.config import read
from training.run import Run
from training.search import outcome
from training.search.space import Space
from training.search.trials import Trials
from training.terminal import console, plainly, progressing


def search(
    config: Annotated[Path, typer.Argument(help="TOML file with [search] and [search.space].")],
    folder: Annotated[
        Path | None, typer.Option("--run", help="Its folder; runs/NAME-search by default.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the trials of before.")] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="So many in all, not search.trials.")] = None,
) -> None:
    """Train with other settings, trial after trial, and write the best as a file for `chorus-train run`.

    What is tried stands in the configuration: keys of it, in quotes, with their values.

        [search]
        metric = "click:impression_auc"    # on the validation part; the test part is never read
        trials = 30                        # method = "tpe", or "random", "grid"
        folds = 1                          # above 1: the mean over folds; group = "user", "time" ...

        [search.space]
        "training.lr_heads" = { low = 1e-4, high = 1e-2, log = true }
        "model.sharing" = ["ple", "mmoe"]

    The first trial has the settings as they are. Trials that fall behind are given up (pruning = "median").
    Its folder then holds best.toml, search.md and search.svg; docs/data.md says more.
    """
    with plainly(), progressing() as progress:
        settings = read(config)
        space = Space(config, settings)
        place = Run.start(folder or Path("runs") / f"{settings.name}-search", config, resume=resume)
        study = Trials(space, place.folder, progress).run(trials, settings)
        found = outcome.record(space, study)
        best = outcome.write(space, found, source=config, folder=place.folder)
    number, value = found["best"]["number"], found["best"]["value"]
    console.print(f"Best: trial {number}, {found['metric']} {value:.4f}; train with: chorus-train run {best}")
