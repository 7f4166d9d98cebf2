"""Where and with what it was measured."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

OURS = ("fastapi", "numpy", "onnxruntime", "pydantic", "redis", "tokenizers", "uvicorn", "uvloop")
THEIRS = (
    "bentoml", "fastapi", "litserve", "mosec", "msgspec", "numpy", "onnxruntime", "pydantic", "ray", "redis",
    "sentence-transformers", "torch", "uvicorn", "uvloop",
)  # fmt: skip
BUSY = 0.3  # average processes that run: more, and others are at work here


def describe(peers: Path) -> dict[str, Any]:
    """Processor, memory, kernel, and the versions of both environments and of the programs."""
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {THEIRS!r}}}))"
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": os.getloadavg()[0],
        "versions": {name: version(name) for name in OURS},
        "versions of the peers": json.loads(_said(str(peers), "-c", code)),
        "wrk": _first("wrk", "--version"),
        "redis-server": _first("redis-server", "--version"),
    }


def quiet() -> bool:
    """Whether nobody else seems to be at work here."""
    return os.getloadavg()[0] < BUSY


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _first(*command: str) -> str:
    return _said(*command).splitlines()[0]


def _said(*command: str) -> str:
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
