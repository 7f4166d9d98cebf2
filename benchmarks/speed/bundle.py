"""The benchmark's own bundle: really trained on a small demo shop, its catalogue grown to a real size.

var/bench/shop/             tables of the shop
         run/               the training run
         drafts/speed/1/    the bundle as training published it
         shelf/speed/1/     the same with 100,000 items: synthetic unit vectors near the real ones
         unfolded.onnx      the heads as the peers run them, the same function
         projection.npz     the projection behind the text encoder, for a peer on torch
         .made              what all of it was made from; made again when that changes
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from benchmarks.speed import graphs
from model_store import items as item_files
from model_store.bundle import MANIFEST, Bundle
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.items import Items
from model_store.scorer import Scorer
from model_store.shelf import Shelf
from training import pipeline
from training.config import read
from training.errors import ConfigError
from training.export.publish import publish
from training.run import Run
from training.shop import generate, write

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("shop.toml")
NAME = "speed"
ITEMS = 100_000
SHOP = {"users": 600, "items": 1_000, "impressions": 10_000}
NEAR = 0.35  # length of the noise that is added to a real unit vector
SOURCES = ("model_store/*.py", "training/export/*.py", "training/model/*.py", "benchmarks/speed/graphs.py")


@dataclass(frozen=True)
class Bench:
    """What was made, below one folder."""

    folder: Path

    @property
    def bundle(self) -> Path:
        """The served bundle."""
        return self.folder / "shelf" / NAME / "1"

    @property
    def unfolded(self) -> Path:
        """The heads as a team exports them."""
        return self.folder / "unfolded.onnx"

    @property
    def projection(self) -> Path:
        """What training put behind the encoder: weight (d, H) and bias (d,)."""
        return self.folder / "projection.npz"

    @property
    def tables(self) -> Path:
        """The tables of the shop."""
        return self.folder / "shop"


def make(folder: Path, progress: Progress) -> Bench:
    """Whatever is not there yet, or was made by other code."""
    bench, stamp, sources = Bench(folder), folder / ".made", _sources()
    if stamp.is_file() and stamp.read_text() == sources:
        return bench
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for shelf in ("drafts", "shelf"):
        shutil.rmtree(folder / shelf, ignore_errors=True)
    small = _train(bench, progress)
    step = progress.add_task("grow the catalogue", total=None)
    _grow(small, Shelf(folder / "shelf"))
    progress.update(step, total=1, completed=1)
    stamp.write_text(sources)
    return bench


def _train(bench: Bench, progress: Progress) -> Bundle:
    """Train, unless a run with the same configuration is there that fits the code, and publish."""
    if not (bench.tables / "items.parquet").is_file():
        write(generate(**SHOP), bench.tables)
    config = bench.tables / CONFIG.name
    shutil.copyfile(CONFIG, config)
    folder = bench.folder / "run"
    trained = (folder / "state.json").is_file() and (
        folder / "config.toml"
    ).read_bytes() == CONFIG.read_bytes()
    torch.set_flush_denormal(True)
    workbench = pipeline.prepare(read(config), bench.folder / "cache", progress)
    run = Run(folder)
    if not (trained and _fits(run, workbench.network)):
        run = Run.start(folder, config)
        pipeline.train(workbench, run, progress)
    bundle = publish(workbench, run, Shelf(bench.folder / "drafts"), progress)
    graphs.write(workbench.network, bench.unfolded, context=workbench.dataset.context.shape[1])
    np.savez(
        bench.projection,
        **{name: part.numpy() for name, part in workbench.network.text.projection.state_dict().items()},
    )
    return bundle


def _fits(run: Run, network: nn.Module) -> bool:
    """Whether the network takes the run's weights, which it then has; those of other code it may not."""
    try:
        run.best(network)
    except ConfigError:
        return False
    return True


def _grow(small: Bundle, shelf: Shelf) -> None:
    """The bundle again, with the catalogue of a real shop in place of its own."""
    with (small.folder / "items.jsonl").open() as file:
        texts = [json.loads(line)["text"] for line in file]
    bases = np.concatenate(
        [np.arange(len(texts)), np.random.default_rng(1).integers(0, len(texts), ITEMS - len(texts))]
    )
    with shelf.draft(NAME) as folder:
        for path in small.folder.iterdir():
            if not path.name.startswith("items.") and path.name != MANIFEST:
                shutil.copyfile(path, folder / path.name)
        manifest = small.manifest
        scorer = Scorer(small, FeatureSet(manifest.features, Clock(manifest.timezone)))
        item_files.write(_grown(small.items, bases, scorer), folder, texts=[texts[base] for base in bases])
        shelf.publish(folder, manifest.model_copy(update={"items": ITEMS}))


def _grown(items: Items, bases: np.ndarray, scorer: Scorer) -> Items:
    """Items made from those at rows `bases`; the first ones are the real ones."""
    generator, real = np.random.default_rng(2), len(items)
    noise = generator.standard_normal((len(bases), items.vectors.shape[1]), dtype=np.float32)
    noise *= NEAR / np.linalg.norm(noise, axis=1, keepdims=True)
    noise[:real] = 0.0
    vectors = items.vectors[bases] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:real] = items.vectors
    age = generator.uniform(0.0, 90 * 86_400.0, len(bases))
    age[:real] = 0.0
    return replace(
        items.taken(bases),
        ids=(*items.ids, *(f"g{number:06d}" for number in range(len(bases) - real))),
        parts=scorer.parts(vectors),
        published=items.published[bases] - age,
    )


def _sources() -> str:
    """A hash of the code and the configuration that the files follow from."""
    state = hashlib.sha256(repr((ITEMS, SHOP, NEAR)).encode())
    for path in [CONFIG, Path(__file__), *(each for glob in SOURCES for each in sorted(ROOT.glob(glob)))]:
        state.update(path.read_bytes())
    return state.hexdigest()
