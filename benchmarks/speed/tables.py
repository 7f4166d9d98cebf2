"""Each section of the page: what was done, and its numbers as tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.record import table
from benchmarks.speed import batch, latency, memory, profile, start, text, warm, workers
from benchmarks.speed.targets import Target

Found = Mapping[str, Any]
PLOTS = {"warm": "speed-ratios.svg", "latency": "speed-latency.svg"}


def page(sections: Found, met: Sequence[Target], about: Found) -> str:
    """All of it in markdown."""
    parts = [_targets(met)]
    for name, (title, told, write) in SECTIONS.items():
        if name in sections:
            plot = f"![{title}]({PLOTS[name]})\n\n" if name in PLOTS else ""
            parts.append(f"## {title}\n\n{told}\n\n{plot}{write(sections[name])}")
    return "\n".join([*parts, _about(about)])


def _targets(met: Sequence[Target]) -> str:
    rows = [
        [
            each.name,
            each.found,
            _ends(each),
            f"{'≤' if each.below else '≥'} {each.limit:g}",
            "yes" if each.met else "**no**",
        ]
        for each in met
    ]
    return table(["target", "found", "rounds", "wanted", "met"], rows)


def _about(about: Found) -> str:
    """Machine and versions."""
    rows = [
        [name, ", ".join(f"{each} {it}" for each, it in told.items()) if isinstance(told, Mapping) else told]
        for name, told in about.items()
    ]
    return f"## Measured with\n\n{table(['', ''], rows)}"


def _ends(target: Target) -> str:
    return "" if target.spread is None else f"{target.spread[0]:.3g} – {target.spread[1]:.3g}"


def _warm(found: Found) -> str:
    heads = ["candidates", *found["sizes"]]
    names = list(next(iter(found["sizes"].values()))["requests a second"])
    rates = [
        [name, *(_spread(size["requests a second"][name]) for size in found["sizes"].values())]
        for name in names
    ]
    ratios = [
        [name, *(_spread(size["Chorus to"][name]) for size in found["sizes"].values())]
        for name in names if name in next(iter(found["sizes"].values()))["Chorus to"]
    ]  # fmt: skip
    told = table(["requests a second", *heads[1:]], rates) + table(["Chorus to", *heads[1:]], ratios)
    worst = max(found["greatest difference of a score"].values())
    trips = found["trips to Redis a request"]
    return f"{told}Greatest difference of a score: {worst:.1e}. Trips to Redis of a request: {trips:.2f}.\n"


def _latency(found: Found) -> str:
    rows, columns = [], ("p50", "p90", "p99", "p99.9")
    for size in (str(latency.SIZE), str(latency.LARGE)):
        for name, told in found[size].items():
            for share, waits in told["loads"].items():
                cells = [_spread(waits[column]) for column in columns]
                stages = [
                    _spread(waits[column]) if column in waits else ""
                    for column in ("model p50", "service p50")
                ]
                rows.append(
                    [size, name, f"{float(share):.0%}", f"{waits['rate']['median']:.0f}", *cells, *stages]
                )
    heads = ["candidates", "", "of saturation", "requests a second", *columns, "model p50", "service p50"]
    own = found["client"]
    return table(heads, rows) + (
        f"Of these waits the client and the kernel take p50 {own['p50']:.3f} and p99 {own['p99']:.3f} ms: the same "
        f"client, {own['rate']:.0f} times a second, before a bare ASGI answer.\n"
    )


def _text(found: Found) -> str:
    rows = [
        [name, _spread(rate), _spread(found["Chorus to"][name]) if name in found["Chorus to"] else ""]
        for name, rate in found["texts a second"].items()
    ]
    same = "the same bytes" if found["bit-identical among 200 others"] else "other bytes"
    return table(["", "texts a second", "Chorus to"], rows) + (
        f"A text encoded alone and among {text.OTHERS} others: {same}. Least cosine between Chorus's vector and "
        f"torch's: {found['cosine with torch, least']:.4f}.\n"
    )


def _batch(found: Found) -> str:
    rows: list[list[object]] = [[name, _spread(rate)] for name, rate in found["pairs a second"].items()]
    rows.append([batch.OFFLINE, f"{found['offline']['pairs a second']:,.0f}"])
    rows.append([batch.HEADS, f"{found['offline'][batch.HEADS]:,.0f}"])
    runs = [
        [
            run["pairs"],
            run["seconds"],
            run["peak MiB"],
            " ".join(f"{mib:.0f}" for mib in run["MiB by tenth of the time"]),
        ]
        for run in found["offline"]["runs"]
    ]
    heads = ["pairs of a file", "seconds", "peak MiB", "MiB by tenth of the time"]
    return table(["", "pairs a second"], rows) + table(heads, runs)


def _memory(found: Found) -> str:
    marks = found["resident MiB by requests"]
    once = found["identical cold requests"]
    rows = [[int(number), mib] for number, mib in marks.items()]
    kept = rows if len(rows) < 8 else [*rows[: -1 : len(rows) // 6], rows[-1]]
    return table(["requests", "resident MiB"], kept) + (
        f"{once['at once']} identical cold requests at once: {once['encodes']['text']:.0f} run of the text encoder, "
        f"{once['encodes']['user']:.0f} of the user encoder.\n"
    )


def _workers(found: Found) -> str:
    thrift = found["requests a second of processor time"]
    rates = [
        [name, _spread(rate), _spread(thrift[name])] for name, rate in found["requests a second"].items()
    ]
    kept = [
        [name, *(f"{told[key]:.0f}" for key in ("resident", "proportional", "unique"))]
        for name, told in found["MiB"].items()
    ]
    told, counted = table(["", "requests a second", "of processor time"], rates), found["counted"]
    told += table(["MiB over all processes", "resident", "proportional", "unique"], kept)
    return f"{told}Answers counted by the client {counted['client']:,}, by both workers {counted['service']:,.0f}.\n"


def _start(found: Found) -> str:
    return table(["", ""], [[name, _spread(value)] for name, value in found.items() if name != "items"])


def _profile(found: Found) -> str:
    shares = [[name, f"{share:.1%}"] for name, share in found["shares"].items()]
    functions = [[f"`{name}`", f"{share:.1%}"] for name, share in list(found["functions"].items())[:12]]
    return table(["part", "share"], shares) + table(["function itself", "share"], functions)


def _spread(value: Mapping[str, Any]) -> str:
    """The middle, and the ends where there were several rounds."""
    digits = 0 if value["median"] >= 100 else 1 if value["median"] >= 20 else 2
    middle, low, high = (f"{value[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return middle if len(value["rounds"]) == 1 else f"{middle} ({low} – {high})"


SECTIONS: Mapping[str, tuple[str, str, Callable[[Found], str]]] = {
    "warm": ("Warm users", warm.TOLD, _warm),
    "latency": ("Waits", latency.TOLD, _latency),
    "text": ("Texts", text.TOLD, _text),
    "batch": ("Batches and files", batch.TOLD, _batch),
    "memory": ("Memory", memory.TOLD, _memory),
    "workers": ("Two workers", workers.TOLD, _workers),
    "start": ("Start", start.TOLD, _start),
    "profile": ("Where the time goes", profile.TOLD, _profile),
}
