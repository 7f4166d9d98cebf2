"""The training loop: read it from top to bottom.

An epoch is one pass over the training requests. After each: losses on validation, the metric that decides,
a checkpoint from which the run goes on exactly, and the weights if they are the best so far.
"""

import ast
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from training.balance.made import made
from training.batches import Batches
from training.calibrate import calibrate
from training.dataset import Dataset
from training.errors import ConfigError
from training.evaluate import LOWER_IS_BETTER, measure
from training.losses import Losses
from training.means import Means
from training.model.batch import Batch, Shared
from training.model.network import Network
from training.predict import labels_of, predict, represent
from training.run import Run
from training.sections import RETRIEVAL, TrainingConfig
from training.team import SOLO, Part, Team
from training.texts import Texts
from training.threads import single


@dataclass
class State:
    """Where the loop stands."""

    epoch: int = 0
    step: int = 0
    best: float = float("inf")
    best_epoch: int = 0


def fit(
    network: Network, dataset: Dataset, texts: Texts, run: Run, progress: Progress, team: Team = SOLO
) -> State:
    """Train until the epochs are over or validation stops improving; the best weights end up in `network`.

    In a team they end up in the first process's, which alone writes to the run.
    """
    with single(when=texts.kept):
        return _fit(network, dataset, texts, run, progress, team)


def _fit(network: Network, dataset: Dataset, texts: Texts, run: Run, progress: Progress, team: Team) -> State:
    config = dataset.config.training
    batches, losses = Batches(dataset), prepare(network, dataset)
    balance = made(dataset.config, network, team)
    optimiser, schedule = _optimiser(network, config, batches.steps(config.batch))
    parts = {"network": network, "balance": balance, "optimiser": optimiser, "schedule": schedule}
    generator = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed + team.rank)
    state = _resume(run, parts, generator, team)
    bar = progress.add_task("train", total=config.epochs * batches.steps(config.batch), completed=state.step)
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        began, told, weighed = time.perf_counter(), Means(), Means()
        network.train()
        for batch in batches.epoch(config.batch, generator, team):
            shared = network.shared(batch, texts.pooled(batch.texts))
            found = terms(network, losses, batch, shared, team)
            optimiser.zero_grad()
            weights = balance.backward(found, shared.learned)
            team.gradients(network)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            balance.follow(partial(_again, network, losses, batch, texts, team))
            weighed.add(weights)
            total = told.add({name: loss.item() for name, loss in found.items()}, balance.own)
            state.step += 1
            progress.update(bar, advance=1, description=f"train, epoch {state.epoch + 1}, loss {total:.3f}")
        balance.turn()
        state.epoch += 1
        value, record = validate(network, dataset, texts, losses) if team.leads else (0.0, {})
        value = team.same(torch.tensor(value, dtype=torch.float64)).item()
        best = value < state.best
        if best:
            state.best, state.best_epoch = value, state.epoch
        snapshot = _snapshot(parts, generator, state, team)
        if team.leads:
            if best:
                run.keep(network)
            run.log({"epoch": state.epoch, "loss": told.total, "losses": told.means, "weights": weighed.means,
                     "decides": value, **record, "seconds": round(time.perf_counter() - began, 2)})  # fmt: skip
            run.checkpoint(snapshot)
    progress.update(bar, completed=config.epochs * batches.steps(config.batch))
    if not team.leads:
        return state
    run.best(network)
    represented = represent(network, dataset, texts, "validation")
    calibrate(network, dataset, predict(network, dataset, represented, "validation"))
    run.keep(network)
    return state


def prepare(network: Network, dataset: Dataset) -> Losses:
    """Scales of the losses from the training labels."""
    losses = Losses(dataset.tasks, dataset.config.tasks, network.readout)
    train = dataset.select("train")
    for name, labels in dataset.labels.items():
        losses.prepare(name, labels[train])
    for name, alone in dataset.alone.items():
        losses.prepare(name, alone.labels[alone.splits == 0])
    return losses


def terms(
    network: Network, losses: Losses, batch: Batch, shared: Shared, team: Team = SOLO
) -> dict[str, Tensor]:
    """The loss of each task that has labels in the team's batch and counts."""
    found = {}
    for name, logits in network.logits(batch, shared).items():
        labels = batch.alone[name][1] if name in batch.alone else batch.labels[name]
        if losses.counts(name):
            found[name] = losses.joint(name, logits, labels, batch.mask)
    if network.search is not None:
        retrieval = network.retrieval(batch, shared)
        nothing = Part(network.search.slopes.sum() * 0.0, 0.0)
        found[RETRIEVAL] = [nothing if retrieval is None else Part(retrieval, 1.0)]
    return team.losses(found)


@torch.no_grad()
def _again(network: Network, losses: Losses, batch: Batch, texts: Texts, team: Team) -> dict[str, Tensor]:
    return terms(network, losses, batch, network.shared(batch, texts.pooled(batch.texts)), team)


@torch.no_grad()
def validate(
    network: Network, dataset: Dataset, texts: Texts, losses: Losses
) -> tuple[float, dict[str, Any]]:
    """The number that decides (less is better) and what to log: the stated metric, or the joint loss.

    ConfigError if it is undefined.
    """
    value, record = _decide(network, dataset, texts, losses)
    if np.isnan(value):
        raise ConfigError(
            f"{dataset.config.training.metric or 'the loss'} is undefined on the validation part: training diverged, "
            "or one class only; lower the rates, or choose another training.metric or a larger split.validation"
        )
    return value, record


def _decide(network: Network, dataset: Dataset, texts: Texts, losses: Losses) -> tuple[float, dict[str, Any]]:
    represented = represent(network, dataset, texts, "validation")
    predictions = predict(network, dataset, represented, "validation")
    config = dataset.config
    if config.training.metric:
        name, _, kind = config.training.metric.partition(":")
        found = measure(dataset, predictions, "validation")
        kind = kind or "auc"
        if kind not in found[name]:
            raise ConfigError(f"training.metric: {name} has no {kind!r}; there are: {', '.join(found[name])}")
        value = found[name][kind]
        return (value if kind in LOWER_IS_BETTER else -value), {"validation": found}
    parts = {}
    for task in dataset.tasks:
        labels = labels_of(dataset, predictions, task.name, "validation")
        if len(labels):
            target = torch.from_numpy(labels if labels.dtype == np.int64 else labels.astype(np.float32))
            logits = torch.from_numpy(predictions.logits[task.name])
            parts[task.name] = losses.task(task.name, logits, target).item()
    weights = {name: config.tasks[name].weight for name in parts}
    return sum(parts[name] * weights[name] for name in parts), {"validation_loss": parts}


def _optimiser(
    network: Network, config: TrainingConfig, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW with two learning rates; linear warm-up, then linear down to zero."""
    groups = network.parameter_groups(config.lr_heads, config.lr_encoder, config.weight_decay)
    optimiser = torch.optim.AdamW(groups, fused=True)
    total = max(config.epochs * steps, 1)
    warm = max(int(config.warmup * total), 1)

    def rate(step: int) -> float:
        return min((step + 1) / warm, max(total - step, 0) / max(total - warm, 1))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)


def _snapshot(
    parts: dict[str, Any], generator: np.random.Generator, state: State, team: Team
) -> dict[str, Any]:
    return {
        **{name: part.state_dict() for name, part in parts.items()},
        "torch": team.all(torch.get_rng_state()),
        "numpy": str(generator.bit_generator.state),
        "state": vars(state),
    }


def _resume(run: Run, parts: dict[str, Any], generator: np.random.Generator, team: Team) -> State:
    snapshot = run.resumed()
    if snapshot is None:
        return State()
    if len(snapshot["torch"]) != team.size:
        raise ConfigError(
            f"{run.folder} was trained by {len(snapshot['torch'])} processes, these are {team.size}; resume with as "
            "many (torchrun --nproc-per-node), or train anew"
        )
    for name, part in parts.items():
        part.load_state_dict(snapshot[name])
    torch.set_rng_state(snapshot["torch"][team.rank])
    generator.bit_generator.state = ast.literal_eval(snapshot["numpy"])
    return State(**snapshot["state"])
