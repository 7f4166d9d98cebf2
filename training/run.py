"""A run folder: everything that a run was and learned, enough to resume it or export it.

<run>/config.toml         the configuration as it was given, with the seed of --seed and the date of what is new
<run>/names.json          what the weights are about, by which a later run goes on from this one
<run>/earlier/            the configuration, names and weights of the run that this one goes on from
<run>/state.json          epoch, best value, seconds
<run>/best.safetensors    weights of the best epoch so far
<run>/refit/              the same of the weights that learned from validation too, with `training.refit`
<run>/alone/<task>/       the same of a task that was trained by itself
<run>/taught.safetensors  what these say of the training part, or the earlier run, for the tasks that are `taught`
<run>/resume.pt           weights, optimiser, schedule and random states after the last whole epoch
<run>/log.jsonl           one record an epoch: losses, metrics, rates
<run>/fusion.json         the fusions that were tried for the stated goal, and the one that is chosen
<run>/metrics.json        test metrics of the model and of the baselines
<run>/report.md, .html    the same for people; the page is one file, its plots in it
<run>/learning.svg, gates.svg, reliability.svg, worth.svg   its plots
<run>/importance.*, day.* what `explain` found, as numbers and plots
"""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from training.config import Config, parse, read
from training.edit import edited
from training.errors import ConfigError

HANDED = ("config.toml", "names.json", "best.safetensors")  # to a run that goes on from this one


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        config: Path,
        *,
        resume: bool = False,
        changes: Mapping[str, Any] | None = None,
        earlier: Mapping[str, Path] | None = None,
    ) -> "Run":
        """Make the folder, or go on in it; with `changes` to keys of the configuration.

        earlier: what an earlier run hands over, which may be the one that stands here and goes.
        ConfigError if it belongs to another configuration, or is not ours to empty.
        """
        run = cls(folder)
        text = run.check(config, resume=resume, changes=changes, earlier=earlier)
        run.begin(config, text, resume=resume, earlier=earlier)
        return run

    def check(
        self,
        config: Path,
        *,
        resume: bool = False,
        changes: Mapping[str, Any] | None = None,
        earlier: Mapping[str, Path] | None = None,
    ) -> str:
        """The configuration with which a run can begin here; ConfigError where none can. Nothing is written."""
        folder, ours = self.folder, self.folder / "config.toml"
        if folder.exists() and any(folder.iterdir()) and not (folder / "origin").is_file():
            raise ConfigError(f"{folder} is no run folder, and not empty; take another --run")
        if ours.exists() and ours.samefile(config):
            raise ConfigError(
                f"{config} is a run's own copy; take {(folder / 'origin').read_text()}, or a copy of it"
            )
        text = edited(config.read_text(), changes or {})
        parse(tomllib.loads(text), config)
        if resume and ours.is_file():
            if ours.read_text() != text:
                raise ConfigError(
                    f"{ours} differs from {config}; resume with the same file and --seed, or take another --run"
                )
            if bool(earlier) != bool(self.inherited):
                command = "renew" if self.inherited else "run"
                raise ConfigError(f"{folder} was begun by `chorus-train {command}`; resume it by that")
        elif Path.cwd().is_relative_to(folder.resolve()):
            raise ConfigError(f"{folder} is to be replaced, and you stand in it; go to another folder")
        return text

    def begin(
        self, config: Path, text: str, *, resume: bool = False, earlier: Mapping[str, Path] | None = None
    ) -> None:
        """The same after `check`, with the configuration that this gave."""
        if not (resume and (self.folder / "config.toml").is_file()):
            self._replace({"config.toml": text, "origin": str(config.resolve())}, earlier or {})

    def _replace(self, texts: Mapping[str, str], earlier: Mapping[str, Path]) -> None:
        """A new folder in place of the old one, with what is taken over, which may lie in the old one.

        It is whole before the old one goes, so that a later run can go on from either.
        """
        folder = self.folder.resolve()  # a link to it stays one
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
            new, old = Path(aside) / "new", Path(aside) / "old"
            (new / "earlier" if earlier else new).mkdir(parents=True)
            for name, file in earlier.items():
                shutil.copyfile(file, new / "earlier" / name)
            for name, text in texts.items():
                (new / name).write_text(text)
            try:
                if folder.exists():
                    folder.rename(old)
                new.rename(folder)
            except BaseException:
                if old.exists() and not folder.exists():
                    old.rename(folder)
                raise

    @property
    def inherited(self) -> dict[str, Path]:
        """The files of the run that this one goes on from, by name; empty without one."""
        folder = self.folder / "earlier"
        return {name: folder / name for name in HANDED} if folder.is_dir() else {}

    @property
    def handed(self) -> dict[str, Path]:
        """The files by which a later run goes on from this one; ConfigError if there is nothing to go on from.

        Of a renewal that did not come to its end they are those that it took over itself.
        """
        weights = (self.again if self.config.training.refit else self).folder / "best.safetensors"
        found = {name: self.folder / name for name in HANDED} | {"best.safetensors": weights}
        for file in (self.folder / "state.json", *found.values()):
            if not file.is_file():
                if self.inherited:
                    return self.inherited
                if file.name == "names.json":
                    raise ConfigError(
                        f"{file} does not exist: an earlier release trained {self.folder}, and kept no names of what "
                        "it learned; train it once more with `chorus-train run CONFIG`"
                    )
                raise ConfigError(
                    f"{file} does not exist: nothing can go on from {self.folder} before it was trained to its end; "
                    "`chorus-train run CONFIG` does that"
                )
        return found

    @property
    def origin(self) -> Path:
        """The file that the run was configured by, wherever that is now; ConfigError if this is no run."""
        origin = self.folder / "origin"
        if not origin.is_file():
            raise ConfigError(f"{self.folder} is no run folder; make one with `chorus-train run CONFIG`")
        return Path(origin.read_text())

    @property
    def config(self) -> Config:
        """The configuration, its paths as seen from where the file came from."""
        origin = self.origin
        config = read(self.folder / "config.toml")
        return config.model_copy(update={"folder": origin.parent})

    def log(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def keep(self, network: nn.Module) -> None:
        """Save the weights that learn, and the readout, as the best so far; whole or not at all."""
        partial = self.folder / "best.partial"
        save_file(learned(network), partial)
        partial.replace(self.folder / "best.safetensors")

    def best(self, network: nn.Module) -> None:
        """Load what `keep` saved."""
        path = self.folder / "best.safetensors"
        if not path.is_file():
            raise ConfigError(f"{path} does not exist; the run was not trained to the end of an epoch")
        saved, wanted = load_file(path), learned(network)
        shapes, expected = ({name: value.shape for name, value in state.items()} for state in (saved, wanted))
        if shapes != expected:
            wrong = sorted(name for name, _ in shapes.items() ^ expected.items())
            raise ConfigError(
                f"{path} does not fit the configuration and its tables, {wrong[0]} for one; train again with "
                "`chorus-train run`"
            )
        network.load_state_dict(saved, strict=False)

    @property
    def again(self) -> "Run":
        """The folder of what is learned once more, from validation too."""
        return Run(self.folder / "refit")

    def served(self, network: nn.Module) -> None:
        """Load the weights that the run came to: those learned once more, if its configuration asks for them."""
        (self.again if self.config.training.refit else self).best(network)

    @property
    def taught(self) -> Path:
        """The file of what the tasks say that were trained alone."""
        return self.folder / "taught.safetensors"

    def teach(self, said: Mapping[str, NDArray[np.float32]]) -> None:
        """Write it as a whole: task -> logits (M, w)."""
        partial = self.folder / "taught.partial"
        save_file({name: torch.from_numpy(logits) for name, logits in said.items()}, partial)
        partial.replace(self.taught)

    def told(self) -> dict[str, NDArray[np.float32]]:
        """The same, read."""
        return {name: logits.numpy() for name, logits in load_file(self.taught).items()}

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Replace resume.pt as a whole: a kill in between leaves the old one."""
        partial = self.folder / "resume.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "resume.pt")

    def resumed(self) -> dict[str, Any] | None:
        """The last checkpoint, if there is one."""
        path = self.folder / "resume.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """What was logged, the last record of each epoch; a run that was killed has some of them twice."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        found = {record["epoch"]: record for record in map(json.loads, lines)}
        return [found[epoch] for epoch in sorted(found)]

    def write(self, name: str, record: Any) -> None:
        """Write a JSON file of the run."""
        (self.folder / name).write_text(json.dumps(record, indent=2))

    def read(self, name: str) -> Any:
        """Read a JSON file of the run; ConfigError if it is not there yet."""
        path = self.folder / name
        if not path.is_file():
            stage = f"evaluate {self.folder}" if name == "metrics.json" else "run CONFIG --resume"
            raise ConfigError(f"{path} does not exist; run `chorus-train {stage}` first")
        return json.loads(path.read_bytes())


def learned(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state of everything but the frozen weights, which the encoder's own files hold."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    state = network.state_dict()
    return {name: value.contiguous() for name, value in state.items() if name not in frozen}
