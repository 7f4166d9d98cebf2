"""`chorus-train`: from tables to a bundle on the shelf.

chorus-train demo                     make the demo shop's data
chorus-train adapt ebnerd SOURCE      turn a public data set into tables and a configuration
chorus-train run CONFIG               read, train, evaluate, export, verify, publish
chorus-train renew RUN                the same, going on from what a run learned, with what came since
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
from model_store.shelf import DEFAULT_ROOT
from training import charts, pipeline, report
from training.cli_run import Alone, ShelfFolder, evaluated, published, renew, run
from training.cli_search import search
from training.config import anywhere
from training.datasets.adapters import ADAPTERS, Source
from training.errors import DataError
from training.explain import day, importance, plots
from training.export import proof
from training.export.recheck import recheck
from training.page import page
from training.predict import represent
from training.run import Run
from training.shop import generate, write
from training.terminal import console, plainly, progressing
from training.worth import check_apart, worth

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)


RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, as `chorus-train run` made it.")]


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


app.command()(run)
app.command()(renew)
app.command()(search)


@app.command()
def evaluate(folder: RunFolder, alone: Alone = True) -> None:
    """Test a finished run again beside the baselines; writes metrics.json, report.md and report.html."""
    with plainly(), progressing() as progress:
        place, bench = _finished(folder, progress)
        evaluated(bench, place, progress, alone=alone)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Finished runs that differ in their seeds.")],
    out: Annotated[Path, typer.Option(help="Where to write worth.md, worth.html and worth.svg.")] = Path(),
) -> None:
    """What training the tasks together is worth: joint minus alone over runs, with 95 % intervals, and Δm."""
    with plainly():
        records = [Run(folder).read("metrics.json") for folder in folders]
        check_apart(folders, records)
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
        published(bench, place, shelf, progress)


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


def _finished(folder: Path, progress: Progress) -> tuple[Run, pipeline.Workbench]:
    place = Run(folder)
    bench = pipeline.prepare(anywhere(place.config), folder.parent / "cache", progress)
    place.served(bench.network)
    return place, bench


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


if __name__ == "__main__":
    app()
