"""constraints.txt: one exact version of everything that pyproject.toml asks for."""

import re
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def test_every_requirement_has_one_exact_version_that_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_no_version_names_one_build_of_a_package():
    assert not re.search(r"==.*\+", (ROOT / "constraints.txt").read_text())


def locked() -> dict[str, list[str]]:
    """Each requirement of the service's lock, and its hashes."""
    text = "".join(line for line in (ROOT / "service.lock").read_text().splitlines(True) if line[0] != "#")
    entries = [entry.split() for entry in text.replace("\\\n", " ").splitlines()]
    return {entry[0]: [word.partition(":")[2] for word in entry[1:]] for entry in entries}


def test_what_the_image_installs_is_locked_to_hashes_and_to_the_versions_that_were_tested():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}
    for name, hashes in locked().items():
        package, _, version = name.partition("==")
        assert tested[canonicalize_name(package)] == version
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)


def test_the_lock_holds_all_that_the_service_asks_for_and_all_that_they_ask_for():
    names = {canonicalize_name(entry.partition("==")[0]) for entry in locked()}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    missing = {canonicalize_name(Requirement(each).name) for each in asked} - names
    for name in names:
        needed = map(Requirement, metadata.requires(name) or ())
        missing |= {
            canonicalize_name(each.name)
            for each in needed
            if not each.marker or each.marker.evaluate({"extra": ""})
        } - names
    assert missing == set()


def test_the_image_takes_nothing_that_has_no_hash():
    service = (ROOT / "Dockerfile").read_text().partition("AS training")[0]
    installs = re.findall(r"pip .*install (.*?) \\", service)
    assert [words for words in installs if words.startswith("--yes")]
    for words in installs:
        assert "--require-hashes" in words or words.startswith(("--no-deps --no-build-isolation .", "--yes"))
