"""Which version of a bundle has which label, and what a wish makes of that. Numbers alone: nothing is opened here.

    stable     answers
    previous   was stable before: held open, to go back to
    canary     answers a share of the users in its place, always the same ones
    shadow     is asked for a share of the requests what it would have answered; nobody hears it

The supervisor changes these, all workers follow, and one that starts later is told by its settings.
"""

from hashlib import blake2b
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.errors import Refused, Unknown
from app.settings import Settings
from app.trial import Trial
from model_store.errors import BundleMissing
from model_store.shelf import Shelf

Beside = Literal["canary", "shadow"]
Label = Literal["stable", Beside]


class Wish(BaseModel):
    """A version that is to have a label, and the share of a canary or a shadow.

    `before`: the one that was stable before, or while there is a canary only the end of that; `canary`: the version
    that is it now; None: nobody is to have the label.
    """

    version: int | Literal["newest", "before", "canary"] | None = "newest"
    label: Label = "stable"
    share: float = 1.0


class Labels(BaseModel):
    """Those of one bundle. No version has two of stable, canary and shadow."""

    model_config = ConfigDict(frozen=True)

    name: str
    stable: int
    previous: int | None = None
    canary: Trial | None = None
    shadow: Trial | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Labels":
        """As they are at a start. Raises BundleMissing, and Refused if the settings contradict each other."""
        folder = Shelf(settings.store).find(settings.model, settings.version)
        labels = cls(name=folder.parent.name, stable=int(folder.name))
        if settings.canary:
            labels = labels._beside("canary", Trial.read(settings.canary))
        if settings.shadow:
            labels = labels._beside("shadow", Trial.read(settings.shadow))
        return labels

    @property
    def settings(self) -> dict[str, Any]:
        """What says the same to a process that starts."""
        trials = {str(label): trial and str(trial) for label, trial in self._trials.items()}
        return {"model": self.name, "version": self.stable, **trials}

    def __str__(self) -> str:
        told = [("stable", self.stable), ("previous", self.previous), *self._trials.items()]
        return ", ".join(f"{label} {each}" for label, each in told if each is not None)

    @property
    def active(self) -> tuple[int, ...]:
        """The versions that have to be open."""
        return (self.stable, *(trial.version for trial in self._trials.values() if trial))

    @property
    def held(self) -> set[int]:
        """The versions that are not let go."""
        return {*self.active, *([] if self.previous is None else [self.previous])}

    def label(self, version: int) -> Label | None:
        """What a version is; None: it was stable before, or is nothing."""
        if version == self.stable:
            return "stable"
        return next(
            (label for label, trial in self._trials.items() if trial and trial.version == version), None
        )

    def after(self, wish: Wish, shelf: Shelf) -> "Labels":
        """What they are to be. Raises Unknown or Refused."""
        if wish.version is None:
            return self._without(wish.label)
        if wish.version == "before":
            return self._before()
        if wish.version == "canary":
            if self.canary is None:
                raise Refused("there is no canary; load one with label canary at /admin/versions")
            return self._serving(self.canary.version)
        version = self._found(wish.version, shelf)
        if wish.label == "stable":
            return self._serving(version)
        return self._beside(wish.label, Trial(version=version, share=wish.share))

    def _found(self, wished: int | Literal["newest"], shelf: Shelf) -> int:
        """The version that is wished; one that is held needs no shelf."""
        if wished != "newest" and wished in self.held:
            return wished
        try:
            return int(shelf.find(self.name, None if wished == "newest" else wished).name)
        except BundleMissing as error:
            raise Unknown(str(error)) from error

    @property
    def _trials(self) -> dict[Beside, Trial | None]:
        return {"canary": self.canary, "shadow": self.shadow}

    def _before(self) -> "Labels":
        if self.canary is not None:
            return self._without("canary")
        if self.previous is None:
            raise Refused("no other version was served before; name the one that you want at /admin/versions")
        return self._serving(self.previous)

    def _without(self, label: Label) -> "Labels":
        if label == "stable" or self._trials[label] is None:
            raise Refused(f"no version is {label}; there is nothing to drop")
        return self.model_copy(update={label: None})

    def _serving(self, version: int) -> "Labels":
        if version == self.stable:
            return self
        return self._but(version, stable=version, previous=self.stable)

    def _beside(self, label: Beside, trial: Trial) -> "Labels":
        if trial.version == self.stable:
            raise Refused(f"version {trial.version} is stable, and cannot be {label} too; name another one")
        return self._but(trial.version, **{label: trial})

    def _but(self, version: int, **changed: Any) -> "Labels":
        """Changed; whatever else the version was it is no more."""
        trials = {label: None for label, trial in self._trials.items() if trial and trial.version == version}
        return self.model_copy(update=trials | changed)


def lot(name: str, who: str) -> float:
    """Where somebody stands between 0 and 1, evenly spread: for a bundle's name the same ever after, everywhere."""
    drawn = blake2b(who.encode(), digest_size=8, key=name.encode()[:64], person=b"chorus canary")
    return int.from_bytes(drawn.digest()) / 2**64
