"""`chorus-train run` and `chorus-train renew`: from tables to a bundle, from nothing or from an earlier run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from model_store.shelf import DEFAULT_ROOT, Shelf
from training import pipeline, report, scorecard, start
from training.export.publish import publish as publish_bundle
from training.heritage import Heritage
from training.run import Run
from training.team import Team
from training.terminal import console, plainly, progressing, show

ConfigFiles = Annotated[
    list[Path],
    typer.Argument(
        help="TOML file that maps columns to roles and declares the tasks; or several.", metavar="CONFIG..."
    ),
]
ShelfFolder = Annotated[Path, typer.Option("--shelf", help="Where bundles stand, by name and version.")]
Alone = Annotated[bool, typer.Option(help="Also train each task by itself, for the comparison.")]
Publish = Annotated[bool, typer.Option(help="Export and publish at the end.")]


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
    publish: Publish = True,
) -> None:
    """Everything: read tables, train, evaluate beside baselines, export, verify, publish.

    Several configurations train one text encoder together, each with its own heads, and make a bundle each.

    `--seed N` draws other first weights, batches and negatives, and leaves the split as it is: train with three seeds
    and `chorus-train compare` the runs, to see what is more than chance. The run keeps its seed.

    `torchrun --standalone --nproc-per-node 2 --no-python -- chorus-train run CONFIG` trains in two processes, each on
    half of every batch: for encoders that learn, and machines of several sockets.
    """
    with plainly():
        _whole(start.first(configs, folder, seed), shelf, resume=resume, alone=alone, publish=publish)


def renew(
    folders: Annotated[
        list[Path], typer.Argument(help="A finished run; or several that share an encoder.", metavar="RUN...")
    ],
    into: Annotated[
        Path | None,
        typer.Option(
            "--run", help="Run folder; the earlier run's by default. Of several, the folder above them."
        ),
    ] = None,
    shelf: ShelfFolder = DEFAULT_ROOT,
    new: Annotated[
        bool, typer.Option("--new/--all", help="Learn from what is newer than the run, or from all rows.")
    ] = True,
    resume: Annotated[bool, typer.Option(help="Go on from a renewal's last whole epoch.")] = False,
    publish: Publish = True,
) -> None:
    """Go on from what a finished run learned, with what came since: read tables, train, evaluate, publish.

    The configuration is the file that the run was made by, as it is now. Items, classes, words, features and tasks
    are known by their names, and new ones are learned. Only rows are learned from that came after those of the run,
    in a fraction of the time; `training.remember = 0.3` in the file keeps it near what the run says, and `--all`
    takes all rows.

    The report has what the earlier run says of the same test part. Where no epoch is better on validation than the
    run was, its weights stay. docs/data.md tells when that pays.
    """
    with plainly():
        starts = start.renewed(folders, into, new=new, resume=resume)
        _whole(starts, shelf, resume=resume, alone=False, publish=publish)


def evaluated(bench: pipeline.Workbench, place: Run, progress: Progress, *, alone: bool) -> None:
    """Test a run, write its report and tell it."""
    record = scorecard.evaluate(bench, place, progress, alone=alone)
    report.write(place.folder, bench.dataset.config.name, record)
    for table in report.rich(record):
        show(table)


def published(bench: pipeline.Workbench, place: Run, shelf: Path, progress: Progress) -> None:
    """Export a run, publish it and tell how it was proved."""
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


def _whole(starts: Sequence[start.Start], shelf: Path, *, resume: bool, alone: bool, publish: bool) -> None:
    with progressing() as progress:
        with Team.joined() as team, start.held(starts, team):
            places, benches = start.begun(starts, team, progress, resume=resume)
            _tell(benches, places, team)
            pipeline.train_all(benches, places, progress, team)
        if not team.leads:
            return
        for bench, place in zip(benches, places, strict=True):
            evaluated(bench, place, progress, alone=alone)
            if publish:
                published(bench, place, shelf, progress)


def _tell(benches: Sequence[pipeline.Workbench], places: Sequence[Run], team: Team) -> None:
    """What people should know before it begins."""
    for bench, place in zip(benches, places, strict=True) if team.leads else ():
        for line in bench.report:
            console.print(line, style="yellow", highlight=False)
        if heritage := Heritage.of(place):
            anew = heritage.anew(bench.network, bench.dataset)
            console.print(f"{place.folder} goes on from an earlier run; new to that: {anew}", highlight=False)
