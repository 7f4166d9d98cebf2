"""How many characters the texts of a request may have: the service refuses more, so training must not record it."""

ID = 256
WORD = 256  # of the request's context
WORDS = 20_000  # a field of an item or of a profile
QUERY = 2_000
NUL = "\0"  # stands in no string of a request: Redis keys and C would end there


def fits(text: str, limit: int) -> bool:
    """Whether the service takes the text."""
    return len(text) <= limit and NUL not in text
