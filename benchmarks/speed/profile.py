"""Where the time of a warm request goes: py-spy's samples, shared out by what a function is there for."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.speed import asks, lineup
from benchmarks.speed.rig import Rig, Served

SECONDS, RATE, SIZE = 10, 500, 500
FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+):\d+\)$")
OTHER = "everything else"
# the innermost frame that one of these knows, by its function and file, decides
GROUPS: tuple[tuple[str, str], ...] = (
    (
        "gather",
        r"_gathered |model_store/(items|parts)\.py|app/(catalogue|ids|lookup|overlay|slate|slates)\.py",
    ),
    ("heads", r"onnxruntime/|model_store/(engine|scorer)\.py"),
    ("metrics", r"app/(drift|metrics|series|tally)\.py|prometheus_client/"),
    ("Redis", r"app/(address|copies|keys|ledger|line|link|near|slab|state|stored|wire)\.py|redis/|hiredis/"),
    ("decode and check", r"app/api/(ask|body|schema)\.py|app/candidates\.py|pydantic|msgspec"),
    (
        "context features",
        r"app/(moments|prior|shown)\.py|model_store/(clock|columns|features|listwise|moment|taste)\.py",
    ),
    ("user and texts", r"app/(batcher|memory|pasts|texts|users)\.py|model_store/(history|text)\.py"),
    ("fusion and top k", r"app/outcome\.py|model_store/fusion\.py"),
    ("encode", r"app/api/(recommend|reply)\.py"),
    ("use case", r"app/(model|patience|question|ranker|recommender|round|turns)\.py"),
    (
        "HTTP",
        r"app/(admission|connection|gate|intake|joined|keyring|main|server|service|trace|worker)\.py|uvicorn/|httptools/|starlette/|fastapi/|h11/",
    ),
    ("loop and threads", r"asyncio/|uvloop|concurrent/|threading\.py|selectors\.py|queue\.py"),
)

TOLD = (
    "py-spy's samples of the running threads under the closed loop with 500 candidates, each given to the "
    "part whose code is innermost on its stack."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Shares of the samples by group, and the functions that have most of them."""
    file = rig.bodies("profile", asks.ranked(rig.crowd, SIZE, 600, seed=16))
    raw = rig.folder / "profile.txt"
    with rig.serve(lineup.chorus("profile")) as served:
        rig.stir(served, file)
        recorder = _record(served, raw, 3 if rig.quick else SECONDS)
        time.sleep(0.5)
        load = rig.load(served, file, seconds=(3 if rig.quick else SECONDS) - 1)
        if recorder.wait(60):
            raise SystemExit(
                "py-spy failed; it needs ptrace: run as root, or allow it by kernel.yama.ptrace_scope"
            )
    stacks = list(parse(raw.read_text().splitlines()))
    return {"requests a second": load.rate, "samples": sum(count for _, count in stacks), **shares(stacks)}


def _record(served: Served, raw: Path, seconds: int) -> subprocess.Popen[bytes]:
    program = str(Path(sys.executable).with_name("py-spy"))
    return subprocess.Popen(
        [program, "record", "--pid", str(served.process.popen.pid), "--duration", str(seconds), "--rate", str(RATE),
         "--format", "raw", "--output", str(raw), "--nonblocking"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def parse(lines: Iterable[str]) -> Iterable[tuple[list[tuple[str, str]], int]]:
    """Stacks of (function, file), outermost first, and how often each was seen."""
    for line in lines:
        stack, _, count = line.rpartition(" ")
        found = [match.group("function", "file") for part in stack.split(";") if (match := FRAME.match(part))]
        if found:
            yield found, int(count)


def shares(stacks: Iterable[tuple[list[tuple[str, str]], int]]) -> dict[str, Any]:
    """By group, and the functions in which most samples were taken themselves."""
    groups, functions = Counter[str](), Counter[str]()
    for stack, count in stacks:
        groups[_group(stack)] += count
        function, file = stack[-1]
        functions[f"{function} ({file})"] += count
    total = max(1, groups.total())
    return {
        "shares": {name: count / total for name, count in groups.most_common()},
        "functions": {name: count / total for name, count in functions.most_common(25)},
    }


def _group(stack: list[tuple[str, str]]) -> str:
    for function, file in reversed(stack):
        for name, pattern in GROUPS:
            if re.search(pattern, f"{function} {file}"):
                return name
    return OTHER
