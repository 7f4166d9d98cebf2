"""How runs begin: a folder for each, with what it takes over from an earlier one, then the tables."""

import fcntl
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress

from training import pipeline
from training.config import parse, read
from training.errors import ConfigError
from training.heritage import Heritage
from training.run import Run
from training.team import Team


@dataclass(frozen=True)
class Start:
    """A run that is to begin: its folder and configuration, changes to this, and what it takes over."""

    place: Path
    config: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[str, Path] = field(default_factory=dict)

    def check(self, *, resume: bool) -> str:
        """The configuration with which it begins; ConfigError where it cannot, and all is as it was."""
        if self.earlier:
            Heritage(self.earlier).check(read(self.config))
        place, changes = Run(self.place), self.changes
        return place.check(self.config, resume=resume, changes=changes, earlier=self.earlier)

    def begin(self, text: str, *, resume: bool) -> Run:
        """The run, in its folder."""
        run = Run(self.place)
        run.begin(self.config, text, resume=resume, earlier=self.earlier)
        return run


def first(configs: Sequence[Path], folder: Path | None, seed: int | None) -> list[Start]:
    """Runs of configurations, from nothing; folder: of the run, or above the runs of several."""
    above = folder or Path("runs")
    ending, changes = ("", {}) if seed is None else (f"-seed{seed}", {"training.seed": seed})
    places = [above / f"{read(config).name}{ending}" for config in configs]
    if folder and len(configs) == 1:
        places = [folder]
    return [Start(place, config, changes) for place, config in zip(places, configs, strict=True)]


def renewed(folders: Sequence[Path], into: Path | None, *, new: bool, resume: bool) -> list[Start]:
    """Runs that go on from finished ones, with the files that these were configured by, as they are now.

    into: the run's folder, or the one above several; without it each takes the place of the earlier one.
    new: learn only from rows that are newer than what the earlier run has learned from.
    """
    starts = []
    for folder in folders:
        place = folder if into is None else into if len(folders) == 1 else into / folder.name
        standing = Run(place).inherited if resume else {}
        earlier = standing or Run(folder).handed
        heritage, config = Heritage(earlier), Run(folder).origin
        changes: dict[str, Any] = {}
        if heritage.config.training.seed != read(config).training.seed:
            changes["training.seed"] = heritage.config.training.seed
        if new and (by := read(config).split.by) != "time":
            raise ConfigError(
                f'{config}: split.by = "{by}" holds out none that are newer than others; take all rows, with --all'
            )
        if new:
            changes["split.train_from"] = datetime.fromtimestamp(heritage.until, UTC).isoformat()
        starts.append(Start(place, config, changes, earlier))
    return starts


@contextmanager
def held(starts: Sequence[Start], team: Team) -> Iterator[None]:
    """The runs' folders for this process, or its team, alone; ConfigError where another one trains."""
    with ExitStack() as stack:
        for folder in sorted({start.place.resolve() for start in starts}) if team.leads else ():
            file = folder.parent / "cache" / f"{folder.name}.lock"  # the folder itself is replaced
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                fcntl.flock(stack.enter_context(file.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(f"another process trains in {folder}; wait until it has ended") from error
        yield


def begun(
    starts: Sequence[Start], team: Team, progress: Progress, *, resume: bool
) -> tuple[list[Run], list[pipeline.Workbench]]:
    """The runs, begun by the first process of a team, and their tables, read.

    What stands in the folders stays until all tables are read: a run that there is too little for is not begun.
    """
    if len({start.place.resolve() for start in starts}) < len(starts):
        raise ConfigError("two runs would stand in the same folder; give their configurations other names")
    progress.disable = not team.leads
    cache = starts[0].place.parent / "cache"
    with team.turns():
        if not team.leads:
            runs = [Run(start.place) for start in starts]
            return runs, pipeline.prepared([run.config for run in runs], cache, progress)
        texts = [start.check(resume=resume) for start in starts]
        _check_shared(starts)
        configs = [
            parse(tomllib.loads(text), start.config.resolve())
            for start, text in zip(starts, texts, strict=True)
        ]
        benches = pipeline.prepared(configs, cache, progress)
        return [start.begin(text, resume=resume) for start, text in zip(starts, texts, strict=True)], benches


def _check_shared(starts: Sequence[Start]) -> None:
    """ConfigError where one encoder would have to go on from several."""
    for start in starts[1:]:
        both = starts[0].earlier, start.earlier
        if all(both) and not Heritage(both[0]).shares(Heritage(both[1])):
            raise ConfigError(
                f"{starts[0].place} and {start.place} were not trained together to their end, and have an encoder "
                "each; renew each by itself, or go on with a renewal of both by --resume"
            )
