"""What Redis keeps, by name. Everything of one user shares a hash tag.

chorus:{u:<user>}:history           list, newest first, of ["<item>","<event>",<unix seconds>]
chorus:{u:<user>}:profile           the user's record, a JSON object
chorus:{u:<user>}:shown             list, newest first, of the lists shown to the user (shown.py)
chorus:{u:<user>}:event:<id>        an event already taken, for a day; <user> is empty for nobody's
chorus:{u:<user>}:counted:<layout>:<id>  the same, by a version that counts otherwise than the stable one
chorus:{u:<user>}:vector:<model>    digest of the history that it was computed from (16 bytes) + vector
chorus:text:<model>:<digest>        vector and item-only outputs of one text
chorus:{i:<bundle>}:log             items put and deleted at runtime, by the version of their last change
chorus:{i:<bundle>}:sources         id to the item as it was put
chorus:{i:<bundle>}:rows:<model>    id to the digest of its text (16 bytes) + vector and item-only outputs
chorus:stats:<layout>               when counting began, unix seconds
chorus:stats:<layout>:<item>        what was counted of an item, a record of model_store/counters.py

<model> is the beginning of the bundle's fingerprint: a new model never reads an old vector. <layout> names what is
counted: bundles that count the same share it. <bundle> is a bundle's name: its versions share what was put.
"""

HISTORY, PROFILE, SHOWN = "history", "profile", "shown"
LOG, SOURCES = "log", "sources"
USER, VECTOR = b"chorus:{u:", b"vector:"
BEGAN = ""  # in place of an item: no item has an empty id


def user(name: str, what: str) -> str:
    """Something of a user."""
    return f"chorus:{{u:{name}}}:{what}"


def owner(key: bytes) -> str | None:
    """The user whose history, profile or lists lie under a key; None for any other, also for a vector's.

    A vector says of what history it is: whoever stores one makes no copy untrue.
    """
    name, _, what = key.removeprefix(USER).rpartition(b"}:")
    return name.decode() if key.startswith(USER) and not what.startswith(VECTOR) else None


def event(name: str, event_id: str) -> str:
    """The mark of an event that was taken."""
    return user(name, f"event:{event_id}")


def counted(name: str, layout: str, event_id: str) -> str:
    """The mark of an event that was counted for a version that stands beside."""
    return user(name, f"counted:{layout}:{event_id}")


def vector(name: str, model: str) -> str:
    """A user's cached vector."""
    return user(name, f"vector:{model}")


def text(digest: bytes, model: str) -> str:
    """A text's cached row."""
    return f"chorus:text:{model}:{digest.hex()}"


def items(bundle: str, what: str) -> str:
    """Something of the items that were put and deleted at runtime."""
    return f"chorus:{{i:{bundle}}}:{what}"


def rows(bundle: str, model: str) -> str:
    """What their texts were encoded to."""
    return items(bundle, f"rows:{model}")


def began(layout: str) -> str:
    """When counting began."""
    return f"chorus:stats:{layout}"


def record(layout: str, item: str) -> str:
    """What was counted of an item."""
    return f"chorus:stats:{layout}:{item}"


def item(key: bytes, head: bytes) -> str | None:
    """The item that a record is of, BEGAN for when counting did, None for any other key; head: key of the latter."""
    rest = key.removeprefix(head)
    if len(rest) == len(key) or rest[:1] not in (b"", b":"):
        return None
    return rest[1:].decode()
