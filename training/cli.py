"""`chorus-train`: from tables to a bundle on the shelf.

chorus-train demo                     make the demo shop's data
chorus-train adapt ebnerd SOURCE      turn a public data set into tables and a configuration
chorus-train run CONFIG               read, train, evaluate, export, verify, publish
chorus-train search CONFIG            try other settings, judged on validation
chorus-train evaluate RUN             test a finished run again, beside baselines
chorus-train compare RUN RUN ...      what training together is worth, over seeds
chorus-train explain RUN              plot what each feature is worth, and one user's day
chorus-train export RUN               export a finished run, verify it, publish it
chorus-train verify BUNDLE            repeat the proof of a bundle
"""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from transformers.utils.logging import disable_progress_bar

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.scorer import Scorer
from model_store.shelf import DEFAULT_ROOT, Shelf
from training import charts, pipeline, report
from training.cli_search import search
from training.config import Config, anywhere, read
from training.datasets.adapters import ADAPTERS, Source
from training.errors import DataError
from training.explain import day, importance, plots
from training.export import proof
from training.export.publish import publish as publish_bundle
from training.export.recheck import recheck
from training.page import page
from training.predict import represent
from training.run import Run
from training.shop import generate, write
from training.team import Team
from training.terminal import console, plainly, progressing
from training.worth import worth

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)


ConfigFiles = Annotated[
    list[Path],
    typer.Argument(
        help="TOML file that maps columns to roles and declares the tasks; or several.", metavar="CONFIG..."
    ),
]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, as `chorus-train run` made it.")]
ShelfFolder = Annotated[Path, typer.Option("--shelf", help="Where bundles stand, by name and version.")]
Alone = Annotated[bool, typer.Option(help="Also train each task by itself, for the comparison.")]


@app.callback()
def main() -> None:
    """Train one shared text encoder with many task heads, and publish it as a verified ONNX bundle.

    Start with `chorus-train demo` and `chorus-train run data/shop/shop.toml`; with your own tables,
    write a configuration as docs/data.md shows and run that. `chorus-train explain runs/NAME` then shows
    which features decide, and how the answers change over a day.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write the tables.")] = Path("data/shop"),
    seed: Annotated[int, typer.Option(help="Another seed makes another shop.")] = 7,
) -> None:
    """Make the demo shop: products, shoppers, queries, impressions, ratings and reviews of five weeks."""
    with plainly():
        write(generate(seed), folder)
        console.print(f"The demo shop is in {folder}; train with: chorus-train run {folder / 'shop.toml'}")


@app.command()
def adapt(
    data: Annotated[Source, typer.Argument(help="Which data set.")],
    source: Annotated[Path, typer.Argument(help="Folder with its original files.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; data/NAME by default.")] = None,
) -> None:
    """Turn a public data set's original files into tables and a configuration."""
    with plainly():
        config = ADAPTERS[data](source, out or Path("data") / data.value)
        console.print(f"Written; train with: chorus-train run {config}")


@app.command()
def run(
    configs: ConfigFiles,
    folder: Annotated[
        Path | None,
        typer.Option("--run", help="Run folder; runs/NAME by default. Of several, the folder above them."),
    ] = None,
    shelf: ShelfFolder = DEFAULT_ROOT,
    alone: Alone = True,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last whole epoch.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(help="In place of training.seed; the run folder is then runs/NAME-seedN by default."),
    ] = None,
    publish: Annotated[bool, typer.Option(help="Export and publish at the end.")] = True,
) -> None:
    """Everything: read tables, train, evaluate beside baselines, export, verify, publish.

    Several configurations train one text encoder together, each with its own heads, and make a bundle each.

    `--seed N` draws other first weights, batches and negatives, and leaves the split as it is: train with three seeds
    and `chorus-train compare` the runs, to see what is more than chance. The run keeps its seed.

    `torchrun --standalone --nproc-per-node 2 --no-python -- chorus-train run CONFIG` trains in two processes, each on
    half of every batch: for encoders that learn, and machines of several sockets.
    """
    with plainly(), progressing() as progress:
        with Team.joined() as team:
            places, benches = _begun(configs, folder, team, progress, resume=resume, seed=seed)
            pipeline.train_all(benches, places, progress, team)
        if not team.leads:
            return
        for bench, place in zip(benches, places, strict=True):
            _evaluate(bench, place, progress, alone=alone)
            if publish:
                _publish(bench, place, shelf, progress)


app.command()(search)


@app.command()
def evaluate(folder: RunFolder, alone: Alone = True) -> None:
    """Test a finished run again beside the baselines; writes metrics.json, report.md and report.html."""
    with plainly(), progressing() as progress:
        place, bench = _finished(folder, progress)
        _evaluate(bench, place, progress, alone=alone)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Finished runs that differ in their seeds.")],
    out: Annotated[Path, typer.Option(help="Where to write worth.md, worth.html and worth.svg.")] = Path(),
) -> None:
    """What training the tasks together is worth: joint minus alone over runs, with 95 % intervals, and Δm."""
    with plainly():
        records = [Run(folder).read("metrics.json") for folder in folders]
        lines = list(report.worthwhile(records))
        out.mkdir(parents=True, exist_ok=True)
        charts.worth(worth(records), out / "worth.svg")
        text = "\n".join([*lines, "", "![Joint minus alone](worth.svg)", ""])
        (out / "worth.md").write_text(text)
        (out / "worth.html").write_text(page("What training together is worth", text, out))
        for line in lines:
            console.print(line, highlight=False)


@app.command()
def explain(folder: RunFolder) -> None:
    """Plot what each feature is worth, and what one user is told over a day; report.md then shows both.

    `importance.svg`: how much worse the main task ranks the validation part when the values of one feature are
    permuted, so that they tell nothing (Breiman 2001). The network is not trained again.

    `day.svg`: the same items for the same user at every hour of a day, as of the log then.

    The numbers are in `importance.json` and `day.json`. Takes about a minute after the tables are read.
    """
    with plainly(), progressing() as progress:
        place, bench = _finished(folder, progress)
        _explain(bench, place, progress)
        if (folder / "metrics.json").is_file():
            report.write(folder, bench.dataset.config.name, place.read("metrics.json"))


@app.command()
def export(folder: RunFolder, shelf: ShelfFolder = DEFAULT_ROOT) -> None:
    """Export a finished run, verify it and publish it as the next version on the shelf."""
    with plainly(), progressing() as progress:
        place, bench = _finished(folder, progress)
        _publish(bench, place, shelf, progress)


app.command(name="publish", help="The same as `export`: nothing is published that was not verified.")(export)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle: SHELF/NAME/VERSION.")],
    folder: Annotated[
        Path | None,
        typer.Option("--run", help="The run it came from: repeats the gate on its data too."),
    ] = None,
) -> None:
    """Repeat a bundle's proof: hashes, fp32 graphs against torch's recorded outputs, and the gate."""
    with plainly(), progressing() as progress:
        opened = Bundle.open(bundle)
        worst = max(proof.check(opened).items(), key=lambda pair: pair[1])
        console.print(f"files: {len(opened.manifest.files)} as the manifest names them")
        console.print(
            f"fp32 graphs against torch: largest difference {worst[1]:.2e} ({worst[0]}), limit 1e-4"
        )
        engine = Engine(opened, "cpu")
        scorers = [Scorer(opened, engine.features, compiled=compiled) for compiled in (True, False)]
        served = max(each for scorer in scorers for each in scorer.check(opened, engine).values())
        console.print(
            f"heads as they are served against heads.onnx: {served:.2e} of a task's range, limit 1e-5"
        )
        if folder is None:
            console.print(f"gate at export: {opened.manifest.gate['reason']}")
            return
        _, bench = _finished(folder, progress)
        console.print(f"gate repeated: {recheck(bench, opened, progress)['reason']}")


def _begun(
    configs: list[Path],
    folder: Path | None,
    team: Team,
    progress: Progress,
    *,
    resume: bool,
    seed: int | None,
) -> tuple[list[Run], list[pipeline.Workbench]]:
    progress.disable = not team.leads
    with team.turns():
        settings = [_drawn(read(config), seed) for config in configs]
        above = folder.parent if folder and len(configs) == 1 else folder or Path("runs")
        named = [each.name if seed is None else f"{each.name}-seed{seed}" for each in settings]
        chosen = [folder if folder and len(configs) == 1 else above / name for name in named]
        places = [
            Run.start(place, config, resume=resume, seed=seed) if team.leads else Run(place)
            for place, config in zip(chosen, configs, strict=True)
        ]
        benches = pipeline.prepared(settings, above / "cache", progress)
    for line in [line for each in benches for line in each.report] if team.leads else ():
        console.print(line, style="yellow", highlight=False)
    return places, benches


def _drawn(config: Config, seed: int | None) -> Config:
    """With another seed of training, if there is one."""
    training = config.training if seed is None else config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def _finished(folder: Path, progress: Progress) -> tuple[Run, pipeline.Workbench]:
    place = Run(folder)
    bench = pipeline.prepare(anywhere(place.config), folder.parent / "cache", progress)
    place.served(bench.network)
    return place, bench


def _evaluate(bench: pipeline.Workbench, place: Run, progress: Progress, *, alone: bool) -> None:
    record = pipeline.evaluate(bench, place, progress, alone=alone)
    report.write(place.folder, bench.dataset.config.name, record)
    for table in report.rich(record):
        console.print(table)


def _explain(bench: pipeline.Workbench, place: Run, progress: Progress) -> None:
    represented = represent(bench.network, bench.dataset, bench.texts)
    worth = importance.permute(bench.network, bench.dataset, represented, progress)
    place.write("importance.json", worth.record())
    plots.bars(worth, place.folder / "importance.svg")
    console.print(f"What each feature is worth: {place.folder / 'importance.svg'}")
    step = progress.add_task("ask over a day", total=None)
    try:
        answers = day.ask(bench.network, bench.dataset, represented)
    except DataError as error:
        console.print(f"No day to show: {error}", style="yellow", highlight=False)
        return
    finally:
        progress.update(step, total=1, completed=1)
    place.write("day.json", answers.record())
    plots.heat(answers, place.folder / "day.svg")
    console.print(f"One user's answers over a day: {place.folder / 'day.svg'}")


def _publish(bench: pipeline.Workbench, place: Run, shelf: Path, progress: Progress) -> None:
    bundle = publish_bundle(bench, place, Shelf(shelf), progress)
    manifest = bundle.manifest
    console.print(
        f"fp32 graphs against torch: {max(manifest.parity.values()):.2e}; {manifest.gate['reason']}"
    )
    weights = ", ".join(f"{name} {weight:g}" for name, weight in manifest.fusion.weights.items())
    console.print(f"score: {manifest.fusion.method} of {weights}")
    console.print(
        f"Published {manifest.name} version {manifest.version} ({manifest.precision}): {bundle.folder}"
    )


if __name__ == "__main__":
    app()
