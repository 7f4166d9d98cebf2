"""chaos.json and chaos.md: first what was asked for and found, then the numbers of each drill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.chaos.alone import Outcome
from benchmarks.chaos.drill import Drill
from benchmarks.speed.targets import Target

PROTOCOL = (
    "The service as a process of its own on one core, its load and a real Redis on another, all on loopback; 100,000 "
    "items, 1,000 users with 50 events each. S is the rate of saturation that the drill itself measured with a "
    "closed loop; requests then come as in life (Poisson), and a wait counts from when a request was due."
)


@dataclass(frozen=True)
class Row:
    """A line of the table at the end; a drill that could not be measured has one without a target."""

    line: int
    drill: str
    target: Target | None
    failed: str = ""

    @property
    def met(self) -> bool:
        """Whether what was found is what was asked for."""
        return self.target is not None and self.target.met

    @property
    def cells(self) -> list[object]:
        """As in the table."""
        verdict = "met" if self.met else "**SHORT**"
        if self.target is None:
            return [self.line, self.drill, "to be measured", "", self.failed, verdict]
        sign = "≤" if self.target.below else "≥"
        wanted = f"{sign} {self.target.limit:g}"
        return [self.line, self.drill, self.target.name, wanted, self.target.found, verdict]


HEADS = ["line", "drill", "asked for", "", "found", ""]


def rows(drills: Mapping[str, Drill], outcomes: Mapping[str, Outcome]) -> list[Row]:
    """By lines, as docs/benchmarks.md has them; of one line, as the drills came."""
    found: list[Row] = []
    for name, outcome in outcomes.items():
        drill = drills[name]
        if outcome.failed:
            found.append(Row(drill.LINE, name, None, outcome.failed))
        else:
            found += [Row(drill.LINE, name, each) for each in drill.bounds(outcome.found)]
    return sorted(found, key=lambda row: row.line)


def write(
    drills: Mapping[str, Drill], outcomes: Mapping[str, Outcome], told: Sequence[Row], folder: Path
) -> None:
    """Both files, in the folder."""
    asked = [
        {"line": row.line, "drill": row.drill, "met": row.met}
        | (vars(row.target) if row.target else {"failed": row.failed})
        for row in told
    ]
    found = {
        "minutes": sum(outcome.seconds for outcome in outcomes.values()) / 60.0,
        "bounds": asked,
        "drills": {name: vars(outcome) for name, outcome in outcomes.items()},
    }
    parts = [record.table(HEADS, [row.cells for row in told])]
    for name, outcome in outcomes.items():
        body = tables(outcome.found) if outcome.found else f"{outcome.failed}\n"
        parts.append(f"## {name}, {outcome.seconds:.0f} s\n\n{drills[name].TOLD}\n\n{body}")
    record.write("chaos", found, protocol=PROTOCOL, told="\n".join(parts), folder=folder)


def tables(found: Mapping[str, Any], name: str = "") -> str:
    """Numbers in markdown: a row each, and where several have the same names, a row for all of one."""
    single = [[key, value] for key, value in found.items() if not isinstance(value, Mapping | list)]
    text = record.table([name, "found"], single) if single else ""
    for key, value in found.items():
        several = dict(enumerate(value, 1)) if isinstance(value, list) else value
        if not isinstance(several, Mapping) or not several:
            continue
        first, *rest = several.values()
        if isinstance(first, Mapping) and all(
            isinstance(each, Mapping) and [*each] == [*first] for each in rest
        ):
            text += record.table([key, *first], [[one, *each.values()] for one, each in several.items()])
        else:
            text += tables(several, key)
    return text
