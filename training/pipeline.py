"""The stages of a run, each reading what the one before left: data, network, training, evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from model_store.text import TextTokenizer
from training import fusion, prior
from training.agreement import agree
from training.alone import answers, only, teachers
from training.baselines import baselines
from training.build import build
from training.config import Config
from training.cost import cost
from training.dataset import SPLITS, Dataset
from training.datasets import tables
from training.device import Device
from training.errors import ConfigError
from training.evaluate import Table, headline, measure, reliability, retrieval
from training.fit import State, fit, together
from training.gates import usage
from training.model.encoder import TextEncoder, identity, load
from training.model.network import Network
from training.predict import Predictions, Represented, predict, represent, sought
from training.refit import Refit, calibrated, joined
from training.run import Run
from training.slices import slices
from training.study import Study
from training.team import SOLO, Team
from training.texts import Texts
from training.threads import single

SAMPLE = 4_000  # items by which the projection is aligned


@dataclass(frozen=True)
class Workbench:
    """What every stage works with."""

    dataset: Dataset
    network: Network
    texts: Texts
    tokenizer: TextTokenizer
    report: list[str]

    def sample(self) -> Tensor:
        """Pooled states (n, H) of texts from all over the catalogue."""
        count = len(self.dataset.item_ids)
        return self.texts.chosen(np.linspace(0, count - 1, min(SAMPLE, count)).astype(np.int64))


def prepare(config: Config, cache: Path, progress: Progress) -> Workbench:
    """Read the tables, build the arrays and the network, encode the texts if the encoder is frozen."""
    return prepared([config], cache, progress)[0]


def prepared(configs: Sequence[Config], cache: Path, progress: Progress) -> list[Workbench]:
    """The same for several, whose networks share one text encoder."""
    agree(configs)
    benches: list[Workbench] = []
    for config in configs:
        step = progress.add_task("read tables", total=None)
        found = tables.read(config)
        dataset = build(config, found)
        progress.update(step, total=1, completed=1)
        benches.append(bench(dataset, cache, progress, found.report.lines()))
    return benches if len(benches) == 1 else shared(benches, cache, progress)


def shared(benches: Sequence[Workbench], cache: Path, progress: Progress) -> list[Workbench]:
    """The first one's text encoder in all of them, aligned with the texts of all catalogues."""
    text = benches[0].network.text
    with single(when=all(each.texts.kept for each in benches)):
        text.align(torch.cat([each.sample() for each in benches]))
    found = []
    for each in benches:
        each.network.text = text
        texts = _texts(each.dataset, text, each.tokenizer)
        texts.keep(cache, identity(each.dataset.config.model.encoder), progress)
        found.append(replace(each, texts=texts))
    return found


def bench(dataset: Dataset, cache: Path, progress: Progress, report: list[str]) -> Workbench:
    """A new network for a data set, its projection aligned with the catalogue's texts."""
    config = dataset.config
    torch.manual_seed(config.training.seed)
    transformer, backend = load(config.model.encoder)
    tokenizer = TextTokenizer(backend, config.model.max_tokens)
    network = Network(
        config,
        dataset.tasks,
        transformer,
        dataset.context.shape[1],
        items=len(dataset.item_ids),
        users=len(dataset.user_ids),
    )
    network.eval()
    network.heads.standardise(torch.from_numpy(dataset.context[dataset.select("train")]))
    if network.search:
        network.search.count(torch.from_numpy(dataset.rows[dataset.select("train")]))
    if network.factors and network.user.past:
        network.factors.begin(prior.biases(dataset))
        network.user.past.grade.copy_(prior.grades(dataset))
    if network.audience:
        network.audience.meet(prior.events(dataset), prior.grades(dataset))
    texts = _texts(dataset, network.text, tokenizer)
    texts.keep(cache, identity(config.model.encoder), progress)
    made = Workbench(dataset, network, texts, tokenizer, report)
    with single(when=texts.kept):
        network.text.align(made.sample())
    return made


def _texts(dataset: Dataset, encoder: TextEncoder, tokenizer: TextTokenizer) -> Texts:
    config = dataset.config.training
    checkpointing = config.gradient_checkpointing
    return Texts(dataset.texts, encoder, tokenizer, Device.of(config), checkpointing=checkpointing)


def train(bench: Workbench, run: Run, progress: Progress) -> None:
    """Fit and leave the best weights in the run folder, and the fusion if a goal is stated."""
    train_all([bench], [run], progress)


def train_all(
    benches: Sequence[Workbench], runs: Sequence[Run], progress: Progress, team: Team = SOLO
) -> None:
    """The same for tables that share a text encoder."""
    pairs = list(zip(benches, runs, strict=True))
    pairs = [(tutored(bench, run, progress, team), run) for bench, run in pairs]
    state = together([_study(bench, run, team) for bench, run in pairs], progress)
    for bench, run in pairs if team.leads else ():
        if bench.dataset.config.fusion.goal:
            _fuse(bench, run, progress)
        run.write("state.json", vars(state))
    if benches[0].dataset.config.training.refit:
        _refit(pairs, state.best_epoch, progress, team)


def tutored(bench: Workbench, run: Run, progress: Progress, team: Team = SOLO) -> Workbench:
    """With what each task says that was trained alone, if the network is to learn from that.

    Raises ConfigError if a run that goes on was taught of other tables.
    """
    names = teachers(bench.dataset.config)
    if not names:
        return bench
    with team.turns():
        if not run.taught.is_file():
            run.teach({name: _answered(bench, run, name, progress) for name in names})
    told = run.told()
    if {name: len(said) for name, said in told.items()} != dict.fromkeys(names, len(bench.dataset.rows)):
        raise ConfigError(f"{run.taught} was made of other tables; train again with `chorus-train run`")
    return replace(bench, dataset=replace(bench.dataset, taught=told))


def _answered(joint: Workbench, run: Run, name: str, progress: Progress) -> NDArray[np.float32]:
    teacher, _, _ = _fitted(joint, run, name, progress)
    with single(when=teacher.texts.kept):
        return answers(teacher.network, teacher.dataset, teacher.texts)


def _study(bench: Workbench, run: Run, team: Team, kind: type[Study] = Study) -> Study:
    return kind(bench.network, bench.dataset, bench.texts, run, team=team)


def _refit(pairs: Sequence[tuple[Workbench, Run]], epochs: int, progress: Progress, team: Team) -> None:
    """Learn once more from training and validation together; these weights end up in the networks."""
    cache = pairs[0][1].folder.parent / "cache"
    new = [bench(joined(old.dataset), cache, progress, []) for old, _ in pairs]
    new = new if len(new) == 1 else shared(new, cache, progress)
    places = [run.again for _, run in pairs]
    for place in places:
        place.folder.mkdir(exist_ok=True)
    studies = [_study(each, place, team, Refit) for each, place in zip(new, places, strict=True)]
    together(studies, progress, until=epochs)
    for (old, _), each, place in zip(pairs, new, places, strict=True):
        calibrated(each.network.readout, old.network.readout, [task.name for task in old.dataset.tasks])
        old.network.load_state_dict(each.network.state_dict())
        if team.leads:
            place.keep(each.network)


def _fuse(bench: Workbench, run: Run, progress: Progress) -> None:
    step = progress.add_task("find fusion", total=None)
    represented = represent(bench.network, bench.dataset, bench.texts, "validation")
    said = predict(bench.network, bench.dataset, represented, "validation")
    run.write("fusion.json", fusion.find(bench.dataset.config.fusion, bench.dataset, said))
    progress.update(step, total=1, completed=1)


def evaluate(bench: Workbench, run: Run, progress: Progress, *, alone: bool) -> dict[str, Any]:
    """Test metrics of the joint model, of the baselines, and (if asked) of each task trained alone."""
    represented = represent(bench.network, bench.dataset, bench.texts)
    tested = predict(bench.network, bench.dataset, represented, "test")
    found: dict[str, Any] = {"joint": measure(bench.dataset, tested, "test")}
    found |= baselines(bench.dataset, "test")
    sliced = {"joint": slices(bench.dataset, tested, "test")}
    costs = {"joint": cost(run, bench.network)}
    if alone and len(bench.dataset.tasks) > 1:
        found["alone"], sliced["alone"] = {}, {}
        for task in bench.dataset.tasks:
            single, place = _alone(bench, run, task.name, progress)
            said = _tested(single)
            found["alone"] |= measure(single.dataset, said, "test")
            sliced["alone"] |= slices(single.dataset, said, "test")
            costs[f"{task.name} alone"] = cost(place, single.network)
    record = {
        "tests": found,
        "slices": sliced,
        "costs": costs,
        "taught": teachers(bench.dataset.config),
        "headlines": {task.name: headline(task, found["joint"][task.name]) for task in bench.dataset.tasks},
        "retrieval": _retrieval(bench, represented, tested),
        "gates": usage(bench.network, bench.dataset, represented, "test"),
        "reliability": reliability(bench.dataset, tested, "test"),
        "data": facts(bench.dataset),
    }
    if bench.dataset.config.fusion.goal:
        record["fusion"] = fusion.tested(run.read("fusion.json"), bench.dataset, tested)
    run.write("metrics.json", record)
    return record


def test(bench: Workbench) -> Table:
    """Metrics of the network on the test part."""
    return measure(bench.dataset, _tested(bench), "test")


def _tested(bench: Workbench) -> Predictions:
    represented = represent(bench.network, bench.dataset, bench.texts)
    return predict(bench.network, bench.dataset, represented, "test")


def facts(dataset: Dataset) -> dict[str, Any]:
    """Counts that describe the data."""
    requests = dataset.requests
    sizes = {name: len(requests.of(name)) for name in SPLITS}
    rows = {name: len(dataset.select(name)) for name in SPLITS}
    return {"items": len(dataset.item_ids), "users": len(dataset.user_ids), "texts": len(dataset.texts),
            "requests": sizes, "rows": rows, "history_events": len(dataset.histories.items)}  # fmt: skip


def _alone(joint: Workbench, run: Run, name: str, progress: Progress) -> tuple[Workbench, Run]:
    """One task, trained by itself."""
    single, place, state = _fitted(joint, run, name, progress)
    if single.dataset.config.training.refit:
        _refit([(single, place)], state.best_epoch, progress, SOLO)
    return single, place


def _fitted(joint: Workbench, run: Run, name: str, progress: Progress) -> tuple[Workbench, Run, State]:
    """The same as validation chose it; where it was trained before it is only opened."""
    dataset, place = only(joint.dataset, name), Run(run.folder / "alone" / name)
    place.folder.mkdir(parents=True, exist_ok=True)
    single = bench(dataset, run.folder.parent / "cache", progress, [])
    return single, place, fit(single.network, dataset, single.texts, place, progress)


def _retrieval(bench: Workbench, represented: Represented, predictions: Predictions) -> dict[str, float]:
    vectors = represented.vectors[: len(bench.dataset.item_ids)].numpy()
    searches = sought(bench.dataset, represented, predictions, bench.network.fetched)
    return retrieval(bench.dataset, predictions, searches, vectors)
