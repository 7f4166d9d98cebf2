"""From a finished run to a bundle on the shelf, or to an error that says why not."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from model_store.bundle import Bundle
from model_store.engine import Encoded, Engine
from model_store.features import FeatureSet
from model_store.history import PROFILE
from model_store.items import Items
from model_store.manifest import FusionDefault, Manifest, Retrieval, TextField, text_encoder
from model_store.scorer import Scorer
from model_store.shelf import Shelf, seal
from training import fusion
from training.dataset import Dataset
from training.evaluate import Table, measure
from training.export import cells, gate, golden, graphs, histories, proof, verdict
from training.export.halve import halve
from training.export.quantise import quantise
from training.pipeline import Workbench
from training.predict import Predictions, Represented, predict, represent, sought
from training.run import Run
from training.texts import Texts

SAMPLE = 256  # texts by which int8 is scaled


@dataclass(frozen=True)
class Draft:
    """A bundle in the making."""

    folder: Path
    manifest: Manifest

    def open(self, precision: str) -> Bundle:
        """As the engine wants it, with one of the two text encoders in force."""
        manifest = self.manifest.model_copy(update={"precision": precision})
        return Bundle(self.folder, seal(self.folder, manifest))


def publish(
    bench: Workbench, run: Run, shelf: Shelf, progress: Progress, *, until: float | None = None
) -> Bundle:
    """Export, prove, gate, encode the catalogue, record golden answers, and put the bundle on the shelf.

    Statistics and histories go as far as the log, or as `until` (unix seconds), if it is given.
    Raises GateError if the fp32 graphs are not what torch computes, BundleMismatch if the scorer is not what the
    heads are; int8 or fp16 that fails its gate is not served.
    """
    dataset = bench.dataset
    until = dataset.end if until is None else until
    with shelf.draft(dataset.config.name) as folder:
        draft = Draft(folder, manifest(bench, run, until))
        base = represent(bench.network, dataset, bench.texts)
        place = bench.texts.device
        bench.network.cpu()
        step = progress.add_task("export ONNX graphs", total=None)
        graphs.export(bench.network, folder, FeatureSet(dataset.features, dataset.clock))
        shrink(bench, folder)
        bench.tokenizer.save(folder / "tokenizer.json")
        proof.record(bench.network, dataset, bench.texts, base, folder / "proof.npz")
        bench.network.text.move(place)
        parity = proof.check(draft.open("fp32"))
        progress.update(step, total=1, completed=1)
        judged, shipped, items = choose(bench, draft, base, progress)
        golden.write(bench.network, dataset, shipped, items=items, until=until, folder=folder)
        tested = predict(bench.network, dataset, shipped, "test")
        searches = sought(dataset, shipped, tested, bench.network.fetched)
        index = cells.write(items, folder, texts=dataset.texts[: len(items)], searches=searches)
        sealed = draft.manifest.model_copy(
            update={
                "precision": dataset.config.export.precision if judged["passed"] else "fp32",
                "parity": parity,
                "gate": judged,
                "items": len(items),
                "index": index,
                "metrics": {"fp32": _tests(bench, base), "shipped": measure(dataset, tested, "test")},
                "histograms": _histograms(dataset, tested.values),
            }
        )
        _compare(Draft(folder, sealed).open(sealed.precision))
        bundle = shelf.publish(folder, sealed)
    histories.write(dataset, run.folder / "histories.jsonl.gz", until)
    return bundle


def shrink(bench: Workbench, folder: Path) -> None:
    """Beside the fp32 text encoder, the same in int8 or fp16, as the configuration asks."""
    config = bench.dataset.config
    small = config.export.precision
    whole, made = folder / text_encoder("fp32"), folder / text_encoder(small)
    if small == "int8":
        quantise(whole, made, sample(bench.texts), longest=config.model.max_tokens)
    else:
        halve(whole, made)


def choose(
    bench: Workbench, draft: Draft, base: Represented, progress: Progress
) -> tuple[dict[str, Any], Represented, Items]:
    """The gate's verdict, and all texts and items as what ships encodes them."""
    dataset = bench.dataset
    small = dataset.config.export.precision
    engine = Engine(draft.open(small), "cpu")
    quantised, encoded = gate.represent_by(engine, bench, base, progress)
    compared = verdict.compare(dataset, *(_validation(bench, one) for one in (base, quantised)))
    whole = Engine(draft.open("fp32"), "cpu")
    judged = verdict.judge(compared, gate.alikeness(engine, whole, bench), small)
    if not judged["passed"]:
        engine = whole
        quantised, encoded = gate.represent_by(engine, bench, base, progress)
    scorer = Scorer(draft.open("fp32"), engine.features)
    return judged, quantised, _items(dataset, engine, scorer, encoded, quantised)


def manifest(bench: Workbench, run: Run, until: float) -> Manifest:
    """Everything that is known before the graphs are."""
    dataset, config = bench.dataset, bench.dataset.config
    return Manifest(
        name=config.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("chorus"),
        encoder=config.model.encoder,
        dimension=config.model.width,
        max_tokens=config.model.max_tokens,
        opset=graphs.OPSET,
        precision="fp32",
        events=(PROFILE, *config.history.events),
        history_limit=config.history.limit,
        timezone=config.features.timezone,
        item_text=fields(config.items.text, config.items.labels),
        profile_text=fields(config.users.text, config.users.labels) if config.users else (),
        features=dataset.features,
        statistics_until=until,
        attributes=config.items.attributes,
        tasks=dataset.tasks,
        fusion=_fusion(dataset, run),
        retrieval=_retrieval(bench),
        data={**dataset.facts, "run": run.folder.name},
    )


def sample(texts: Texts) -> list[NDArray[np.int64]]:
    """Token ids of some texts, evenly from all of them, for int8 to learn how wide its channels are."""
    numbers = np.unique(np.linspace(0, len(texts) - 1, SAMPLE).round().astype(int))
    return [texts.tokens(number) for number in numbers.tolist()]


def fields(names: tuple[str, ...], labels: dict[str, str]) -> tuple[TextField, ...]:
    """The template of a text from the configuration's columns."""
    return tuple(TextField(name=name, label=labels.get(name, "")) for name in names)


def _fusion(dataset: Dataset, run: Run) -> FusionDefault:
    """What was found for the goal, else what the configuration says, else the main tasks that are one number."""
    config = dataset.config.fusion
    if config.goal:
        return fusion.chosen(run.read("fusion.json"))
    return FusionDefault(method=fusion.form_of(config.method), weights=config.weights or _mains(dataset))


def _mains(dataset: Dataset) -> dict[str, float]:
    scored = [task for task in dataset.tasks if task.online and task.scalar]
    return {task.name: 1.0 for task in scored if task.main} or {scored[0].name: 1.0}


def _retrieval(bench: Workbench) -> Retrieval:
    user, query = bench.network.fetched
    return Retrieval(user_weight=user, query_weight=query)


def _compare(bundle: Bundle) -> None:
    """What is served of the heads must be what was proved of them, with the kernel and without."""
    engine = Engine(bundle, "cpu")
    for compiled in (True, False):
        Scorer(bundle, engine.features, compiled=compiled).check(bundle, engine)


def _items(
    dataset: Dataset, engine: Engine, scorer: Scorer, encoded: list[Encoded], shipped: Represented
) -> Items:
    manifest, layout = engine.manifest, engine.features.layout
    widths = [one.outputs[task.name] for one in encoded[:1] for task in manifest.text_tasks]
    outputs = np.array(
        [np.concatenate([one.outputs[task.name] for task in manifest.text_tasks]) for one in encoded]
        if widths
        else np.zeros((len(encoded), 0)),
        dtype=np.float32,
    )
    vectors = shipped.vectors[: len(encoded)].numpy()
    log = dataset.log.until(np.nextafter(manifest.statistics_until, np.inf))
    return Items(
        ids=dataset.item_ids,
        parts=scorer.parts(vectors),
        published=dataset.published,
        attributes=dataset.attributes,
        outputs=outputs,
        numbers=dataset.numbers,
        statistics=None if layout.empty else log.records(layout, len(encoded)),
        wording=dataset.wording,
    )


def _validation(bench: Workbench, represented: Represented) -> Predictions:
    return predict(bench.network, bench.dataset, represented, "validation")


def _tests(bench: Workbench, represented: Represented) -> Table:
    return measure(bench.dataset, predict(bench.network, bench.dataset, represented, "test"), "test")


def _histograms(dataset: Dataset, values: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """What the scores of each scalar head look like, for the service to compare: 20 bins of shares."""
    found = {}
    for task in dataset.tasks:
        if task.online and task.type in ("binary", "regression"):
            shares, edges = np.histogram(values[task.name], bins=20)
            found[task.name] = {"edges": edges.tolist(), "shares": (shares / max(shares.sum(), 1)).tolist()}
    return found
