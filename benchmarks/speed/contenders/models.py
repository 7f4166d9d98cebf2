"""Requests and answers as pydantic models, where a framework takes them."""

from datetime import datetime

from pydantic import BaseModel


class Context(BaseModel):
    """When it is asked."""

    timestamp: datetime


class Scored(BaseModel):
    """One item."""

    item_id: str
    score: float
    tasks: dict[str, float]


class Answer(BaseModel):
    """The best ones, best first."""

    items: list[Scored]
