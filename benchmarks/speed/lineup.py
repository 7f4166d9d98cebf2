"""Who is compared: how each one is started, and what it is told. benchmarks/speed/contenders/ holds the code."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.bundle import NAME, Bench

CHORUS, PLAIN, MOSEC = "Chorus", "plain FastAPI", "mosec"
FOLDED, LOCAL = "folded graph", "local copies"
# no copies; a Redis that may be late, since a benchmark that fell back to answers without it would measure nothing;
# and callers who wait for each other as long as it takes
SETTINGS = {"local_cache": 0, "max_candidates": 5_000, "redis_timeout_ms": 5_000, "max_wait_ms": 60_000}


HOUR = 3_600
# throughput before latency; and it must not take being paused, or a slow start, for an illness
RAY = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": 1,
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": HOUR,
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": HOUR,
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": HOUR,
    "RAY_health_check_failure_threshold": HOUR,
    "RAY_USAGE_STATS_ENABLED": 0,
    "RAY_AUTH_MODE": "disabled",
}


@dataclass(frozen=True)
class Contender:
    """One server. `variant` tells apart what runs the same program; `settings` are added to its environment."""

    name: str
    module: str
    variant: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As in tables."""
        return f"{self.name}, {self.variant}" if self.variant else self.name

    @property
    def file(self) -> str:
        """As in file names."""
        return self.label.lower().replace(", ", "-").replace(" ", "-")

    @property
    def ours(self) -> bool:
        """Whether it is the service itself."""
        return self.name == CHORUS


def chorus(variant: str = "", **settings: object) -> Contender:
    """The service, by default without copies of its own: every request fetches its vectors from Redis."""
    return Contender(CHORUS, "app", variant, {**SETTINGS, **settings})


def everyone() -> list[Contender]:
    """All who rank."""
    return [
        chorus(),
        chorus(LOCAL, local_cache=20_000),
        Contender(PLAIN, "plain"),
        Contender(PLAIN, "plain", FOLDED),
        Contender(MOSEC, "mosec_app"),
        Contender(MOSEC, "mosec_app", FOLDED),
        Contender("BentoML", "bento_app"),
        Contender("LitServe", "lit_app"),
        Contender("Ray Serve", "ray_app", settings=RAY),
    ]


def command(contender: Contender, peers: Path, port: int) -> list[str]:
    """What starts it; `peers`: the Python of the peers' environment."""
    if contender.ours:
        return [sys.executable, "-m", "app", "serve", "--port", str(port)]
    module = f"benchmarks.speed.contenders.{contender.module}"
    if contender.module == "bento_app":
        return [
            str(peers), "-m", "bentoml", "serve", f"{module}:Recommend", "--host", "127.0.0.1",
            "--port", str(port),
        ]  # fmt: skip
    if contender.module == "mosec_app":
        return [
            str(peers),
            "-m",
            module,
            "--address",
            "127.0.0.1",
            "--port",
            str(port),
            "--log-level",
            "warning",
        ]
    return [str(peers), "-m", module]


def environment(contender: Contender, bench: Bench, *, redis: str, port: int) -> dict[str, object]:
    """Its settings: CHORUS_* of the service, SPEED_* of the peers."""
    root = Path(__file__).parents[2]
    common = {"PYTHONPATH": root, "ORT_DISABLE_TELEMETRY": 1, "OMP_NUM_THREADS": 1}
    if contender.ours:
        own = {"store": bench.bundle.parents[1], "model": NAME, "redis_url": redis, **contender.settings}
        return common | {f"CHORUS_{name.upper()}": value for name, value in own.items()}
    graph = bench.bundle / "heads.onnx" if contender.variant == FOLDED else bench.unfolded
    return common | {
        "SPEED_BUNDLE": bench.bundle, "SPEED_GRAPH": graph, "SPEED_REDIS": redis, "SPEED_PORT": port,
        "BENTOML_DO_NOT_TRACK": "true",
        **contender.settings,
    }  # fmt: skip
