"""speed.json, and a page with tables and plots beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.speed import plots, tables
from benchmarks.speed.rig import Cores
from benchmarks.speed.targets import targets

PROTOCOL = (
    "A shop of 100,000 items, four heads, 1,000 users with 50 events each; every server on core {server} "
    "alone, the load generator and one Redis for all on core {load}, all on loopback. Everyone answers "
    "the same requests from the same bundle, and answers the same: the same 20 items, scores within 1e-4, "
    "or nothing is measured. Half of the requests have a query, one of a hundred whose vectors are "
    "cached. Chorus fetches the user's vector from Redis for every request, as everyone does, unless it "
    "says `local copies`; its metrics are on. Rounds take turns; ratios are those within a round; numbers "
    "are the median and, in brackets, the least and the greatest of the rounds."
)


def write(sections: Mapping[str, Any], about: Mapping[str, Any], cores: Cores, folder: Path) -> None:
    """speed.json, speed.md and its pictures, in the folder."""
    met = targets(sections)
    if "warm" in sections:
        plots.ratios(sections["warm"], folder / tables.PLOTS["warm"])
    if "latency" in sections:
        plots.waits(sections["latency"], folder / tables.PLOTS["latency"])
    found = {
        "about": about,
        "targets": [vars(each) | {"met": each.met} for each in met],
        **sections,
    }
    protocol = PROTOCOL.format(server=cores.server, load=cores.load)
    record.write("speed", found, protocol=protocol, told=tables.page(sections, met, about), folder=folder)
