"""What can happen to a Redis: each fault as what begins and what ends it."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from benchmarks.redis_drill import free
from benchmarks.speed.process import on

HARMED = 2_000  # keys whose values are spoilt


@dataclass
class Store:
    """Two Redis servers of which the first serves, and the proxy before them, all on one core."""

    folder: Path
    core: int
    proxy: subprocess.Popen[str]
    ports: list[int]
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def client(self) -> redis.Redis:
        """Of the server that serves, past the proxy."""
        return redis.Redis(port=self.ports[0])

    def tell(self, words: str) -> None:
        """Have the proxy do it; it does when this returns."""
        asked, answered = self.proxy.stdin, self.proxy.stdout
        if asked is None or answered is None:
            raise SystemExit("the proxy was started without pipes")
        asked.write(f"{words}\n")
        asked.flush()
        if answered.readline() != "ok\n":
            raise SystemExit(f"the proxy ended at: {words}")

    def start(self, port: int, *options: str) -> None:
        """A server that has all it acknowledged on disk."""
        folder = self.folder / f"redis-{port}"
        folder.mkdir(exist_ok=True)
        command = [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", *options,
        ]  # fmt: skip
        self.servers[port] = subprocess.Popen(on([self.core], command), stdout=subprocess.DEVNULL)
        _until(lambda: bool(redis.Redis(port=port).ping()))

    def kill(self, port: int) -> None:
        """As kill -9 does."""
        self.servers[port].kill()
        self.servers[port].wait()

    def fail_over(self) -> None:
        """Promote the other server once it has everything, and make this one its follower."""
        old, new = self.ports
        first, second = redis.Redis(port=old), redis.Redis(port=new)
        first.execute_command("CLIENT", "PAUSE", 2_000, "WRITE")
        _until(
            lambda: (
                first.info("replication")["master_repl_offset"]
                == second.info("replication")["master_repl_offset"]
            )
        )
        second.replicaof("NO", "ONE")
        self.tell(f"target {new}")
        first.replicaof("127.0.0.1", new)  # type: ignore[arg-type]
        first.execute_command("CLIENT", "UNPAUSE")
        self.ports.reverse()

    def spoil(self, pattern: str, value: bytes) -> None:
        """Set the values of keys to something else, whatever they held."""
        client = self.client
        found = [key for key, _ in zip(client.scan_iter(pattern, 10_000), range(HARMED), strict=False)]
        with client.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.set(key, value)
            pipe.execute()
        if not found:
            raise SystemExit(f"no key like {pattern}: this fault would show nothing")

    def clear(self, pattern: str) -> None:
        """Take away what was spoilt."""
        client = self.client
        for key in client.scan_iter(pattern, 10_000):
            client.delete(key)


@dataclass(frozen=True)
class Fault:
    """What begins it and what ends it."""

    name: str
    begin: Callable[[Store], object]
    end: Callable[[Store], object]


def _told(name: str, words: str) -> Fault:
    """One that the proxy makes."""
    return Fault(name, lambda store: store.tell(words), lambda store: store.tell("pass"))


def _spoilt(name: str, pattern: str, value: bytes) -> Fault:
    """Values that are not what the service wrote."""
    return Fault(name, lambda store: store.spoil(pattern, value), lambda store: store.clear(pattern))


def _filled(most: str) -> Callable[[Store], object]:
    return lambda store: store.client.config_set("maxmemory", most)


def _following(*whom: object) -> Callable[[Store], object]:
    return lambda store: store.client.execute_command("REPLICAOF", *whom)


def _nothing(_: Store) -> None:
    """It ends by itself."""


FAULTS: Sequence[Fault] = (
    _told("refused", "refuse"),
    _told("black hole", "swallow"),
    _told("replies 40 ms late", "slow 40"),
    _told("replies 200 ms late", "slow 200"),
    _told("reset within a reply", "cut"),
    _told("garbled replies", "garble"),
    Fault(
        "killed and started again",
        lambda store: store.kill(store.ports[0]),
        lambda store: store.start(store.ports[0]),
    ),
    Fault("full", _filled("1mb"), _filled("0")),
    Fault("read-only", _following("127.0.0.1", 1), _following("NO", "ONE")),
    _spoilt("histories of another type", "chorus:{u:v*:history", b"no list"),
    _spoilt("vectors cut short", "chorus:{u:v*:vector:*", b"\x01\x02\x03"),
    Fault("failed over", Store.fail_over, _nothing),
)


@contextmanager
def stored(folder: Path, core: int, proxy: list[str], port: int) -> Iterator[Store]:
    """A server with a follower, and the proxy that stands on `port` before them."""
    first, second = free(), free()
    process = subprocess.Popen(
        on([core], [*proxy, str(port), str(first)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    store = Store(folder, core, process, [first, second])
    try:
        store.start(first)
        store.start(second, "--replicaof", f"127.0.0.1 {first}")
        store.tell("pass")
        yield store
    finally:
        process.terminate()
        for each in store.servers.values():
            each.kill()
            each.wait()


def _until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(redis.RedisError):
            if holds():
                return
        time.sleep(0.01)
    raise SystemExit("a redis-server did not do what it was told")
