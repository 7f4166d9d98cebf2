"""The stages of a run, each reading what the one before left: data, network, training; scorecard.py tells the end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from model_store.text import TextTokenizer
from training import fusion, prior
from training.agreement import agree
from training.alone import answers, only, teachers
from training.build import build
from training.config import Config
from training.dataset import Dataset
from training.datasets import tables
from training.device import Device
from training.errors import ConfigError
from training.fit import State, fit, together
from training.heritage import Heritage, bequest
from training.model.encoder import TextEncoder, identity, load
from training.model.network import Network
from training.predict import predict, represent
from training.refit import Refit, calibrated, joined
from training.run import Run
from training.study import Study
from training.team import SOLO, Team
from training.texts import Texts
from training.threads import single

SAMPLE = 4_000  # items by which the projection is aligned
STRANGE = 0.05  # of the tokens: more than emoji and rare signs make of texts that an encoder can read


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
    made = Workbench(dataset, network, texts, tokenizer, [*report, *_strange(texts, tokenizer, config)])
    with single(when=texts.kept):
        network.text.align(made.sample())
    return made


def _strange(texts: Texts, tokenizer: TextTokenizer, config: Config) -> Iterator[str]:
    """A line if much of the texts is nothing to the encoder, as where it is of another language."""
    share = texts.share(tokenizer.unknown)
    if share > STRANGE:
        yield (
            f"texts: {share:.0%} of the tokens are unknown to {config.model.encoder}, to which they are all "
            "the same; name a model.encoder that was made for this language"
        )


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
    studies = [_study(bench, run, team, heritage=Heritage.of(run)) for bench, run in pairs]
    for bench, run in pairs if team.leads else ():
        run.write("names.json", bequest(bench.network, bench.dataset))
    state = together(studies, progress, begun=all(run.inherited for run in runs))
    for bench, run in pairs if team.leads else ():
        if bench.dataset.config.fusion.goal:
            _fuse(bench, run, progress)
    if benches[0].dataset.config.training.refit:
        _refit(pairs, state.best_epoch, progress, team)
    for run in runs if team.leads else ():  # last, as it says that a run was trained to its end
        run.write("state.json", vars(state))


def tutored(bench: Workbench, run: Run, progress: Progress, team: Team = SOLO) -> Workbench:
    """With what each task says that was trained alone, or the earlier run, if the network is to learn from that.

    Raises ConfigError if a run that goes on was taught of other tables.
    """
    heritage = Heritage.of(run)
    if heritage and bench.dataset.config.training.remember:
        bench = replace(bench, dataset=replace(bench.dataset, config=heritage.reminded(bench.dataset)))
    names = teachers(bench.dataset.config)
    if not names:
        return bench
    with team.turns():
        if not run.taught.is_file():
            run.teach(_answered(bench, run, names, progress, heritage))
    told = run.told()
    if {name: len(said) for name, said in told.items()} != dict.fromkeys(names, len(bench.dataset.rows)):
        raise ConfigError(f"{run.taught} was made of other tables; train again with `chorus-train run`")
    return replace(bench, dataset=replace(bench.dataset, taught=told))


def _answered(
    joint: Workbench, run: Run, names: Sequence[str], progress: Progress, heritage: Heritage | None
) -> dict[str, NDArray[np.float32]]:
    """What the earlier run says of tasks, or else each task's own network."""
    if heritage and joint.dataset.config.training.remember:
        heritage.hand(joint.network, joint.dataset)
        with single(when=joint.texts.kept):
            return answers(joint.network, joint.dataset, joint.texts, names)
    found: dict[str, NDArray[np.float32]] = {}
    for name in names:
        teacher, _, _ = _fitted(joint, run, name, progress)
        with single(when=teacher.texts.kept):
            found |= answers(teacher.network, teacher.dataset, teacher.texts, [name])
    return found


def _study(
    bench: Workbench, run: Run, team: Team, kind: type[Study] = Study, *, heritage: Heritage | None = None
) -> Study:
    """What is learned of a table, from the start or from where the earlier run ended."""
    study = kind(bench.network, bench.dataset, bench.texts, run, team=team)
    if heritage:
        heritage.hand(bench.network, bench.dataset)
    return study


def _refit(pairs: Sequence[tuple[Workbench, Run]], epochs: int, progress: Progress, team: Team) -> None:
    """Learn once more from training and validation together; these weights end up in the networks.

    No epochs, where those of the earlier run were the best: they stay.
    """
    if not epochs:
        for old, run in pairs if team.leads else ():
            run.again.folder.mkdir(exist_ok=True)
            run.again.keep(old.network)
        return
    cache = pairs[0][1].folder.parent / "cache"
    new = [bench(joined(old.dataset), cache, progress, []) for old, _ in pairs]
    new = new if len(new) == 1 else shared(new, cache, progress)
    places = [run.again for _, run in pairs]
    for place in places:
        place.folder.mkdir(exist_ok=True)
    inherited = [Heritage.of(run) for _, run in pairs]
    studies = [
        _study(each, place, team, Refit, heritage=heritage)
        for each, place, heritage in zip(new, places, inherited, strict=True)
    ]
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


def by_itself(joint: Workbench, run: Run, name: str, progress: Progress) -> tuple[Workbench, Run]:
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
