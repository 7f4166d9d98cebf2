"""The shelf: bundles by name and integer version, written aside and renamed when whole.

<root>/<name>/<version>/   a published bundle, never changed again
<root>/<name>/.<random>/   one in the making; the loader never looks there
<root>/<name>/last         the greatest number that was given: that of a bundle that was removed is not given again,
                           for a service may still hold it, and would take another one for it
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_store.bundle import MANIFEST, Bundle, entries
from model_store.errors import BundleMissing
from model_store.manifest import Manifest, fingerprint

DEFAULT_ROOT = Path(__file__).parent / "bundles"
LAST = "last"
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True)
class Shelf:
    """All bundles below one folder."""

    root: Path = DEFAULT_ROOT

    def names(self) -> list[str]:
        """Names that have at least one version; what we may not read, such as a volume's lost+found, has none."""
        return sorted(path.name for path in _folders(self.root) if _open(path) and self.versions(path.name))

    def versions(self, name: str) -> list[int]:
        """Published versions of a name, oldest first. Raises BundleMissing if we may not read them."""
        return sorted(int(path.name) for path in _folders(self.root / name) if path.name.isdecimal())

    def find(self, name: str | None = None, version: int | None = None) -> Path:
        """Folder of a version; the newest if none is given, of the only name if none is given."""
        name = name or self._only()
        versions = self.versions(name)
        if not versions:
            raise BundleMissing(f"no bundle named {name!r} in {self.root}; there are: {self._list()}")
        if version is not None and version not in versions:
            raise BundleMissing(f"{name} has no version {version} in {self.root}; there are: {versions}")
        return self.root / name / str(version or versions[-1])

    def open(
        self,
        name: str | None = None,
        version: int | None = None,
        pins: Collection[str] = (),
        *,
        at_once: int | None = None,
    ) -> Bundle:
        """`find` and `Bundle.open`."""
        return Bundle.open(self.find(name, version), pins, at_once=at_once)

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """A folder to write a bundle into; removed at the end unless it was published."""
        (self.root / name).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".", dir=self.root / name))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Path, manifest: Manifest) -> Bundle:
        """Seal a draft: hash its files, write the manifest last, rename it to the next version.

        The number is one that was never given here, whoever publishes at the same time.
        """
        listed = _listed(draft, manifest)
        while True:
            folder = self.root / manifest.name
            version = max([_last(folder), *self.versions(manifest.name)]) + 1
            sealed = _write(draft, listed.model_copy(update={"version": version}))
            (folder / LAST).write_text(f"{version}\n")
            try:
                os.rename(draft, folder / str(version))  # nothing is overwritten
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
                continue  # another publisher took the number
            _sync(folder)
            return Bundle(folder / str(version), sealed)

    def _only(self) -> str:
        names = self.names()
        if len(names) != 1:
            which = "; say which one by name" if names else ""
            raise BundleMissing(f"{self.root} holds {self._list()}{which}")
        return names[0]

    def _list(self) -> str:
        closed = ", ".join(sorted(path.name for path in _folders(self.root) if not _open(path)))
        unread = f", and {closed}, which user {os.getuid()} may not read" if closed else ""
        return (", ".join(self.names()) or "no bundles (publish one with `chorus-train run`)") + unread


def _folders(folder: Path) -> list[Path]:
    """Those in a folder, none if there is no such folder."""
    try:
        return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    except OSError as error:
        reader = f"user {os.getuid()}"
        raise BundleMissing(f"{folder} cannot be read: {error.strerror}; let {reader} read it") from error


def _open(folder: Path) -> bool:
    """Whether we may look into it."""
    return os.access(folder, os.R_OK | os.X_OK)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a folder whose other files are complete; returns it with hashes."""
    return _write(folder, _listed(folder, manifest))


def _listed(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the hashes of all that lies in a folder."""
    listed = manifest.model_copy(update={"files": entries(folder)})
    return listed.model_copy(update={"fingerprint": fingerprint(listed)})


def _write(folder: Path, manifest: Manifest) -> Manifest:
    folder.chmod(0o755)  # a temporary folder is private; what stands on the shelf is read by the service
    path = folder / MANIFEST
    path.write_text(manifest.model_dump_json(indent=2))
    _sync(path)
    return manifest


def _last(folder: Path) -> int:
    """The greatest number that was given in a folder, as far as it is noted."""
    try:
        return int((folder / LAST).read_text())
    except (OSError, ValueError):  # none was yet, or the disk was full
        return 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
