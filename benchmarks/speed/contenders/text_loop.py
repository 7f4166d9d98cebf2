"""What no text endpoint can be faster than: the served encoder alone, one text a run, on the server's core.

    SPEED_BUNDLE=... python -m benchmarks.speed.contenders.text_loop SECONDS TEXTS

bare      the graph's run on token ids that lie ready
encode    tokenizer and run
together  the run of sixteen texts at once

Prints how often a second, as JSON. TEXTS: one JSON body with a `query` a line.
"""

import json
import os
import sys
from pathlib import Path

from benchmarks.speed.contenders.loop import often
from model_store.bundle import Bundle
from model_store.engine import Engine

TOGETHER = 16


def main(seconds: float, file: Path) -> None:
    """All three."""
    engine = Engine(Bundle.open(Path(os.environ["SPEED_BUNDLE"])), "cpu")
    texts = [json.loads(line)["query"] for line in file.read_bytes().splitlines()[:2_000]]
    ids = [engine.tokenizer.encode(text) for text in texts]
    batches = [ids[start : start + TOGETHER] for start in range(0, len(ids) - TOGETHER, TOGETHER)]
    found = {
        "bare": often(lambda number: engine.tokens(ids[number % len(ids)]), seconds),
        "encode": often(lambda number: engine.text(texts[number % len(texts)]), seconds),
        "together": TOGETHER * often(lambda number: engine.rows(batches[number % len(batches)]), seconds),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
