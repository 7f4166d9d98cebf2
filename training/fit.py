"""The training loop: read it from top to bottom.

An epoch is one pass over the training requests. After each: losses on validation, the metric that decides,
a checkpoint from which the run goes on exactly, and the weights if they are the best so far.
"""

import ast
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch.nn import ModuleList

from training.dataset import Dataset
from training.errors import ConfigError
from training.model.batch import Batch
from training.model.network import Network
from training.optimiser import made
from training.run import Run
from training.study import Study
from training.team import Team
from training.texts import Texts
from training.threads import single


@dataclass
class State:
    """Where the loop stands."""

    epoch: int = 0
    step: int = 0
    best: float = float("inf")
    best_epoch: int = 0


def fit(network: Network, dataset: Dataset, texts: Texts, run: Run, progress: Progress) -> State:
    """Train until the epochs are over or validation stops improving; the best weights end up in `network`."""
    return together([Study(network, dataset, texts, run)], progress)


def together(
    studies: Sequence[Study], progress: Progress, *, until: int | None = None, begun: bool = False
) -> State:
    """The same for tables that share a text encoder; the first one's `training` says for how long.

    In a team the best weights end up in the first process's networks, and it alone writes to the runs.
    until: epochs after which it ends, with rates as if all followed.
    begun: the networks know something already, and are kept as they are unless an epoch is better.
    """
    with single(when=all(study.texts.kept for study in studies)):
        return _together(studies, progress, until or studies[0].config.epochs, begun=begun)


def _together(studies: Sequence[Study], progress: Progress, until: int, *, begun: bool) -> State:
    first = studies[0]
    config, team, sizes = first.config, first.team, shares(studies)
    optimiser, schedule = made(studies, sum(sizes))
    parts = {"networks": ModuleList([study.network for study in studies]), "optimiser": optimiser,
             "balances": ModuleList([study.balance for study in studies]), "schedule": schedule}  # fmt: skip
    generator = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed + team.rank)
    marks = [study.dataset.mark for study in studies]
    state = _resume(first.run, parts, generator, team, marks)
    if begun and not state.epoch:
        state.best = _judged(studies)
    total = until * sum(sizes)
    bar = progress.add_task("train", total=total, completed=state.step)
    while state.epoch < until and state.epoch - state.best_epoch < config.patience:
        began, used = time.perf_counter(), time.process_time()
        for study in studies:
            study.begin()
        for study, batch in turns(studies, sizes, generator):
            loss = study.learn(batch, optimiser)
            schedule.step()
            state.step += 1
            progress.update(bar, advance=1, description=f"train, epoch {state.epoch + 1}, loss {loss:.3f}")
        state.epoch += 1
        values, records = zip(*(study.end() for study in studies), strict=True)
        best = first.latest or sum(values) < state.best
        if best:
            state.best, state.best_epoch = sum(values), state.epoch
        snapshot = {**_snapshot(parts, generator, state, team), "data": marks}
        if team.leads:
            for study, record in zip(studies, records, strict=True):
                if best:
                    study.run.keep(study.network)
                spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
                study.run.log(
                    {"epoch": state.epoch, **record, **{key: round(spent[key], 2) for key in spent}}
                )
            first.run.checkpoint(snapshot)
    progress.update(bar, completed=total)
    if team.leads:
        _finish(studies)
    return state


def _judged(studies: Sequence[Study]) -> float:
    """What the networks are worth before anything is learned; they are kept as the best so far."""
    for study in studies if studies[0].team.leads else ():
        study.run.keep(study.network)
    return sum(study.judged()[0] for study in studies)


def _finish(studies: Sequence[Study]) -> None:
    for study in studies:
        study.run.best(study.network)
        study.network.even()
        study.network.settle()
        study.calibrate()
        study.run.keep(study.network)


def shares(studies: Sequence[Study]) -> list[int]:
    """Batches of each table in an epoch: n^(1/T) of its own n, as many together as the tables have.

    The temperature T is `training.temperature`: 1 is one pass over each, more evens out great and small tables.
    """
    steps = np.array([study.steps for study in studies], dtype=np.float64)
    chances = steps ** (1.0 / studies[0].config.temperature)
    return [int(count) for count in np.maximum(np.rint(steps.sum() * chances / chances.sum()), 1)]


def turns(
    studies: Sequence[Study], sizes: Sequence[int], generator: np.random.Generator
) -> Iterator[tuple[Study, Batch]]:
    """The batches of an epoch, whose turn it is being drawn; a table that is through begins anew."""
    order = np.repeat(np.arange(len(studies)), sizes)
    if len(studies) > 1:
        order = generator.permutation(order)
    sources = [_endless(study, generator) for study in studies]
    for number in order.tolist():
        yield studies[number], next(sources[number])


def _endless(study: Study, generator: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield from study.batches.epoch(study.config.batch, generator, study.team)


def _snapshot(
    parts: dict[str, Any], generator: np.random.Generator, state: State, team: Team
) -> dict[str, Any]:
    card = {"cuda": team.all(torch.cuda.get_rng_state())} if _card(parts) else {}
    return {
        **{name: part.state_dict() for name, part in parts.items()},
        **card,
        "torch": team.all(torch.get_rng_state()),
        "numpy": str(generator.bit_generator.state),
        "state": vars(state),
    }


def _resume(
    run: Run, parts: dict[str, Any], generator: np.random.Generator, team: Team, marks: list[str]
) -> State:
    snapshot = run.resumed()
    if snapshot is None:
        return State()
    if len(snapshot["torch"]) != team.size:
        raise ConfigError(
            f"{run.folder} was trained by {len(snapshot['torch'])} processes, these are {team.size}; resume with as "
            "many (torchrun --nproc-per-node), or train anew"
        )
    if snapshot.get("data", marks) != marks:
        raise ConfigError(
            f"the tables have changed since {run.folder} was begun: what it learned was of others; put them back and "
            "resume, or train anew without --resume"
        )
    for name, part in parts.items():
        part.load_state_dict(snapshot[name])
    torch.set_rng_state(snapshot["torch"][team.rank])
    if "cuda" in snapshot and _card(parts):
        torch.cuda.set_rng_state(snapshot["cuda"][team.rank])
    generator.bit_generator.state = ast.literal_eval(snapshot["numpy"])
    return State(**snapshot["state"])


def _card(parts: dict[str, Any]) -> bool:
    """Whether something learns on a graphics card, which has random numbers of its own."""
    return any(each.is_cuda for each in parts["networks"].parameters())
