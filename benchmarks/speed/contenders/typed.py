"""A request as typed structs, the fastest way from JSON that Python has."""

from datetime import datetime

import msgspec


class Context(msgspec.Struct):
    """When it is asked."""

    timestamp: datetime


class Request(msgspec.Struct):
    """Rank these for this user."""

    user_id: str
    candidates: list[str]
    context: Context
    query: str | None = None
    k: int = 20


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode
