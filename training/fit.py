"""The training loop: read it from top to bottom.

An epoch is one pass over the training requests. After each: losses on validation, the metric that decides,
a checkpoint from which the run goes on exactly, and the weights if they are the best so far.
"""

import ast
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from training.batches import Batches
from training.calibrate import calibrate
from training.dataset import Dataset
from training.errors import ConfigError
from training.evaluate import LOWER_IS_BETTER, measure
from training.losses import Losses
from training.model.network import Batch, Network
from training.predict import labels_of, predict, represent
from training.run import Run
from training.sections import TrainingConfig
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
    with single(when=texts.kept):
        return _fit(network, dataset, texts, run, progress)


def _fit(network: Network, dataset: Dataset, texts: Texts, run: Run, progress: Progress) -> State:
    config = dataset.config.training
    batches, losses = Batches(dataset), prepare(network, dataset)
    optimiser, schedule = _optimiser(network, config, batches.steps(config.batch))
    generator = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    state = _resume(run, network, optimiser, schedule, generator)
    bar = progress.add_task("train", total=config.epochs * batches.steps(config.batch), completed=state.step)
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        began, total = time.perf_counter(), 0.0
        network.train()
        for batch in batches.epoch(config.batch, generator):
            loss = joint(network, losses, batch, texts, dataset)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            state.step, total = state.step + 1, total + loss.item()
            progress.update(
                bar, advance=1, description=f"train, epoch {state.epoch + 1}, loss {loss.item():.3f}"
            )
        state.epoch += 1
        value, record = validate(network, dataset, texts, losses)
        if np.isnan(value):
            raise ConfigError(
                f"{config.metric or 'the loss'} is undefined on the validation part: training diverged, or one class "
                "only; lower the rates, or choose another training.metric or a larger split.validation"
            )
        if value < state.best:
            state.best, state.best_epoch = value, state.epoch
            run.keep(network)
        steps = batches.steps(config.batch)
        run.log({"epoch": state.epoch, "loss": total / steps, "decides": value, **record,
                 "seconds": round(time.perf_counter() - began, 2)})  # fmt: skip
        run.checkpoint(_snapshot(network, optimiser, schedule, generator, state))
    progress.update(bar, completed=config.epochs * batches.steps(config.batch))
    run.best(network)
    calibrate(network, dataset, predict(network, dataset, represent(network, dataset, texts), "validation"))
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


def joint(network: Network, losses: Losses, batch: Batch, texts: Texts, dataset: Dataset) -> Tensor:
    """The weighted sum of all tasks' losses on one batch."""
    logits = network(batch, texts.pooled(batch.texts))
    total = torch.zeros(())
    for task in dataset.tasks:
        config = dataset.config.tasks[task.name]
        if task.name in batch.alone:
            total = total + config.weight * losses.task(
                task.name, logits[task.name], batch.alone[task.name][1]
            )
        elif task.online:
            labels = batch.labels[task.name]
            loss = losses.task(task.name, logits[task.name], labels)
            if task.type == "binary" and config.ranking and labels.shape[1] > 1:
                loss = loss + losses.ranking(logits[task.name], labels, batch.mask)
            total = total + config.weight * loss
    return total


@torch.no_grad()
def validate(
    network: Network, dataset: Dataset, texts: Texts, losses: Losses
) -> tuple[float, dict[str, Any]]:
    """The number that decides (less is better) and what to log: the stated metric, or the mean joint loss."""
    predictions = predict(network, dataset, represent(network, dataset, texts), "validation")
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
    network: Network, optimiser: Any, schedule: Any, generator: Any, state: State
) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "torch": torch.get_rng_state(),
        "numpy": str(generator.bit_generator.state),
        "state": vars(state),
    }


def _resume(run: Run, network: Network, optimiser: Any, schedule: Any, generator: Any) -> State:
    snapshot = run.resumed()
    if snapshot is None:
        return State()
    network.load_state_dict(snapshot["network"])
    optimiser.load_state_dict(snapshot["optimiser"])
    schedule.load_state_dict(snapshot["schedule"])
    torch.set_rng_state(snapshot["torch"])
    generator.bit_generator.state = ast.literal_eval(snapshot["numpy"])
    return State(**snapshot["state"])
