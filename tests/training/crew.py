"""What each process of a team does in test_team.py: `torchrun -m tests.training.crew ENCODER FOLDER`.

Trains the toy log by each balance, and leaves a run folder of each; without torchrun, as one process.
"""

import sys
from pathlib import Path
from typing import Any

from rich.progress import Progress

from tests.training import toy
from training import pipeline
from training.run import Run
from training.team import Team

BALANCES = ("fixed", "rlw", "famo", "gradnorm", "pcgrad", "upgrad")
SURE = {  # no chance: it is not the same in a team
    "dropout": 0.0, "vector_dropout": 0.0, "factors": 2, "audience": 20,
}  # fmt: skip


def sections(balance: str) -> dict[str, dict[str, Any]]:
    """The last layer learns, except with one balance, and with one by adapters.

    With one all is learned again, with one click is taught.
    """
    freeze = "all" if balance == "rlw" else "last:1"
    training = {"balance": balance, "epochs": 2, "batch": 8, "refit": balance == "famo"}
    adapters = "lora" if balance == "gradnorm" else "none"
    tasks, model = toy.record()["tasks"], {**SURE, "freeze": freeze, "adapters": adapters}
    if balance == "upgrad":
        tasks["click"]["taught"], model["audience"] = 0.5, 0
    return {"model": model, "training": training, "tasks": tasks}


def main(encoder: Path, folder: Path) -> None:
    """All of them, one after the other."""
    with Team.joined() as team, Progress(disable=True) as progress:
        for balance in BALANCES:
            run = Run(folder / balance)
            run.folder.mkdir(parents=True, exist_ok=True)
            chosen = sections(balance)
            model = {"encoder": str(encoder), **chosen.pop("model")}
            with team.turns():
                bench = pipeline.bench(toy.made(model=model, **chosen), folder / "cache", progress, [])
            pipeline.train_all([bench], [run], progress, team)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
