"""Trials: each trains with other values, is told to the sampler by epoch, and may be given up early.

<search>/config.toml     the configuration as it was given
<search>/trials.log      optuna's journal of all trials: from it a search goes on
<search>/trials/7-0/     the run folder of trial 7 on fold 0: its log.jsonl
<search>/best.toml, search.md, search.svg, search.json    what was found, see outcome.py
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from rich.progress import Progress

from training import pipeline
from training.build import build
from training.config import Config
from training.dataset import Dataset
from training.datasets import tables
from training.errors import Diverged
from training.fit import fit
from training.run import Run
from training.search.folds import parts
from training.search.space import Space

TRIALS = 20
STARTED = 5  # trials that are never given up, as there is little to compare them with
WHY = "why"  # a trial came to nothing
KEPT = 2  # data sets at once


@dataclass(frozen=True)
class Watched(Run):
    """A run that tells its value after each epoch."""

    tell: Callable[[float], None]

    def log(self, record: dict[str, Any]) -> None:
        super().log(record)
        self.tell(record["decides"])


@dataclass
class Course:
    """A trial's value as it comes, less is better: the mean of the best epoch of each fold so far."""

    trial: optuna.Trial
    bests: list[float] = field(default_factory=list)
    step: int = 0

    def begin(self, step: int) -> None:
        """The next fold, whose epochs count from this step."""
        self.bests.append(np.inf)
        self.step = step

    def tell(self, value: float) -> None:
        """The next epoch's value. Raises TrialPruned if the others were better by then."""
        self.bests[-1] = min(self.bests[-1], value)
        self.trial.report(self.value, self.step)
        self.step += 1
        if self.trial.should_prune():
            raise optuna.TrialPruned

    @property
    def value(self) -> float:
        """Of the folds so far."""
        return float(np.mean(self.bests))


class Trials:
    """Makes the trials of one search folder."""

    def __init__(self, space: Space, folder: Path, progress: Progress) -> None:
        self._space, self._folder, self._progress = space, folder, progress
        self._made: dict[str, list[Dataset]] = {}

    def run(self, count: int | None, usual: Config) -> optuna.Study:
        """Trials until there are so many, those of before included; the first has the configuration's own values."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = self._study()
        _take_up(study)
        search = self._space.search
        total = count or search.trials or (self._space.size if search.method == "grid" else TRIALS)
        if not study.trials and search.method != "grid":
            study.enqueue_trial(self._space.usual(usual))
        done = len(_over(study))
        bar = self._progress.add_task("search", total=total, completed=done)

        def ended(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
            over = len(_over(study))
            self._progress.update(bar, completed=over, description=f"search, {_standing(study)}")
            if over >= total:
                study.stop()

        if done < total:
            study.optimize(self._trial, n_trials=total - done, callbacks=[ended], catch=(Diverged,))
        self._progress.update(bar, completed=total, description=f"search, {_standing(study)}")
        return study

    def _trial(self, trial: optuna.Trial) -> float:
        config, course = self._space.config(self._space.suggest(trial)), Course(trial)
        shown = {task.id for task in self._progress.tasks}
        try:
            for number, dataset in enumerate(self.datasets(config)):
                course.begin(number * config.training.epochs)
                folder = self._folder / "trials" / f"{trial.number}-{number}"
                self._fit(dataset, Watched(folder, course.tell))
        except Diverged as error:
            trial.set_user_attr(WHY, str(error))
            raise
        finally:
            for task in self._progress.tasks:
                if task.id not in shown:
                    self._progress.remove_task(task.id)
        return course.value

    def _fit(self, dataset: Dataset, run: Run) -> None:
        run.folder.mkdir(parents=True)
        bench = pipeline.bench(dataset, self._folder.parent / "cache", self._progress, [])
        try:
            fit(bench.network, dataset, bench.texts, run, self._progress)
        finally:
            for name in ("best.safetensors", "resume.pt"):
                (run.folder / name).unlink(missing_ok=True)

    def datasets(self, config: Config) -> list[Dataset]:
        """What a trial learns from, a data set a fold; made anew only if the values change what the tables say."""
        key = _tabled(config)
        if key not in self._made:
            while len(self._made) >= KEPT:
                self._made.pop(next(iter(self._made)))
            step = self._progress.add_task("read tables", total=None)
            self._made[key] = parts(build(config, tables.read(config)), self._space.search)
            self._progress.remove_task(step)
        return [replace(part, config=config) for part in self._made[key]]

    def _study(self) -> optuna.Study:
        storage = JournalStorage(JournalFileBackend(str(self._folder / "trials.log")))
        study = optuna.create_study(storage=storage, study_name="search", load_if_exists=True)
        study.sampler = self._sampler(len(study.trials))
        study.pruner = self._pruner()
        return study

    def _sampler(self, begun: int) -> BaseSampler:
        search = self._space.search
        if search.method == "grid":
            return GridSampler(self._space.grid(), seed=search.seed)
        seed = search.seed + begun  # a search that goes on does not draw again what it drew
        if search.method == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, multivariate=False)

    def _pruner(self) -> BasePruner:
        kind = self._space.search.pruning
        if kind == "median":
            return MedianPruner(n_startup_trials=STARTED)
        return HyperbandPruner() if kind == "hyperband" else NopPruner()


def _tabled(config: Config) -> str:
    """The part of a configuration that the arrays of its data set come from."""
    told = config.model_dump(
        mode="json",
        exclude={"model": True, "retrieval": True, "export": True, "fusion": True, "search": True,
                 "training": True, "tasks": {"__all__": {"weight", "ranking"}}},
    )  # fmt: skip
    seed = config.training.seed if config.events.negatives else None
    return json.dumps([told, config.training.bad_rows, seed])


def _take_up(study: optuna.Study) -> None:
    """A trial that was killed is made again, with the same values."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _over(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that came to an end of their own."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or WHY in trial.user_attrs
    ]


def _standing(study: optuna.Study) -> str:
    whole = [trial for trial in _over(study) if trial.state == TrialState.COMPLETE]
    best = min(whole, key=lambda trial: trial.value or 0.0, default=None)
    return "" if best is None else f"best trial {best.number}"
