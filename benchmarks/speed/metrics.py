"""What the service says of itself: its counters, read from /metrics."""

import httpx

from benchmarks.speed.rig import TIMEOUT, Served


def total(served: Served, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels; 0 if there is none."""
    text = httpx.get(f"{served.address}/metrics", timeout=TIMEOUT).text
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.split("{")[0].split(" ")[0] == name and all(each in line for each in wanted)
    )
