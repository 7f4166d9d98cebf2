"""How much work there is in asks, and how much of a batch is done at once.

parts    one after another, and others have their turn between two: not even what is fetched, looked up and
         parsed for one of them keeps the event loop for long
shares   of one part, side by side on threads
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from app.admission import HEAD
from app.question import Ask

PART = 16_384  # candidates of a part, a head among them for each ask
AT_ONCE = 1_000  # candidates that are scored between two turns of the event loop: about a millisecond
HISTORIES = 16  # that are handed to threads between two turns, to be encoded: the same


def work(asks: Sequence[Ask]) -> int:
    """Candidates, as they are admitted."""
    return sum(HEAD if ask.candidates is None else len(ask.candidates.ids) for ask in asks)


def sizes(asks: Sequence[Ask]) -> list[int]:
    """Candidates of each; of one that retrieves them more than are done on the event loop's thread."""
    return [AT_ONCE + 1 if ask.candidates is None else len(ask.candidates.ids) for ask in asks]


def parts(asks: Sequence[Ask]) -> Iterator[slice]:
    """Where each part lies; an ask stays whole."""
    begin = size = 0
    for number, more in enumerate(sizes(asks)):
        if size + HEAD + more > PART and number > begin:
            yield slice(begin, number)
            begin, size = number, 0
        size += HEAD + more
    yield slice(begin, len(asks))


def shares(given: Sequence[int], most: int) -> list[slice]:
    """Work of such sizes in parts of about the same, `most` at most and none too small for a thread."""
    ends = np.cumsum(given)
    number = max(1, min(most, len(given), int(ends[-1]) // AT_ONCE))
    bounds = [0, *np.searchsorted(ends, ends[-1] * np.arange(1, number) / number).tolist(), len(given)]
    return [slice(begin, end) for begin, end in pairwise(bounds) if begin < end]
