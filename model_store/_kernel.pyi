"""What kernel.c offers; kernel.py says what the arrays are."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def sizes(layout: Array, /) -> tuple[int, int]: ...
def score(
    layout: Array,
    weights: Array,
    room: Array,
    logits: Array,
    vectors: Array,
    experts: Array,
    rest: Array,
    places: Array,
    owners: Array | None,
    users: Array,
    queries: Array | None,
    asked: Array | None,
    shared: Array,
    own: Array,
    plain: bool,
    /,
) -> None: ...
