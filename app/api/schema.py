"""The values that requests are made of, and what they may hold.

Types are strict: "5" is no number and 5 no id. Times are ISO 8601 with an offset. body.py refuses NUL in strings.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from app.errors import Gone, ServiceError
from model_store import limits

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MAX_HISTORY = 1_000
MAX_K = 500

T = TypeVar("T")


def _plausible(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise ValueError("lies outside 1970 to 2199; send the time of the event")
    return moment


Each = Annotated[list[T], Field(fail_fast=True)]  # at its first fault: a body could hold millions
Id = Annotated[str, StringConstraints(min_length=1, max_length=limits.ID)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Words = Annotated[str, StringConstraints(max_length=limits.WORDS)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=limits.QUERY)]
Time = Annotated[AwareDatetime, AfterValidator(_plausible)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Words | bool | int | Number | Annotated[Each[Words], Field(max_length=100)] | None
Record = Annotated[dict[Name, Value], Field(max_length=100)]
Word = Annotated[str, StringConstraints(max_length=limits.WORD)] | bool | int | Number
Values = Annotated[Each[Id], Field(max_length=1_000)]
AT_LEAST_ONE: dict[str, JsonValue] = {
    "minItems": 1
}  # of lists that an endpoint checks itself, to say what to give


class Strict(BaseModel):
    """A request: unknown fields are refused, types are not bent."""

    # strings are seldom seen twice in a body: to look each one up takes longer than to make it
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, cache_strings="keys"
    )


class HistoryEvent(Strict):
    """One thing that the user did."""

    item_id: Id
    event: Name = Field(description="One of the bundle's events, see /info.")
    timestamp: Time


class ColdItem(Strict):
    """An item that the catalogue may not know: its text says what it is."""

    item_id: Id
    text: Record = Field(default_factory=dict, description="The item's fields, by the names in /info.")
    attributes: dict[Name, Values] = Field(default_factory=dict, description="For filters and features.")
    numbers: dict[Name, Number] = Field(
        default_factory=dict, description="By the names in /info, for features."
    )
    published: Time | None = None


class Context(BaseModel):
    """The moment of the request, and words that tell of it: the names in /info, and `device` in any case."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)
    __pydantic_extra__: dict[str, Word | None]

    timestamp: Time | None = Field(None, description="The moment; the server's clock if left out.")

    @property
    def words(self) -> dict[str, Word | None]:
        """By name, all but the moment."""
        return self.__pydantic_extra__


class FusionChoice(Strict):
    """How the task scores become one; what is left out is the bundle's default."""

    method: Literal["weighted_sum", "weighted_product"] | None = None
    weights: Annotated[dict[Name, Annotated[Number, Field(ge=0.0, le=10.0)]], Field(max_length=64)] | None = (
        None
    )


class RecommendRequest(Strict):
    """One of user_id, history and query is needed; everything else may be left out."""

    user_id: Id | None = Field(None, description="Whose stored history to use; unknown users are newcomers.")
    history: Annotated[Each[HistoryEvent], Field(max_length=MAX_HISTORY)] | None = Field(
        None, description="Used for this request in place of the stored history."
    )
    profile: Record | None = Field(None, description="Used in place of the stored profile.")
    query: Query | None = None
    candidates: Each[Annotated[Id | ColdItem, Field(union_mode="left_to_right")]] | None = Field(
        None, description="What to rank, each scored once; retrieved from the catalogue if left out."
    )
    k: int = Field(20, ge=1, le=MAX_K, description="Most items of the answer.")
    context: Context | None = None
    fusion: FusionChoice | None = None
    filters: dict[Name, Values] = Field(
        default_factory=dict, description="Allowed values by attribute; `exclude`: ids to leave out."
    )
    exclude_seen: bool | None = Field(
        None, description="Leave out items of the history; by default only when items are retrieved."
    )
    explain: bool = False

    @model_validator(mode="after")
    def _someone(self) -> "RecommendRequest":
        if self.user_id is None and self.history is None and self.query is None:
            raise ValueError("names nobody and asks nothing; give user_id, history or query")
        return self


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: int


class RankedItem(BaseModel):
    """One item: its score, and what every task says of it."""

    item_id: str
    score: float = Field(description="0..1, by the fusion asked for.")
    tasks: dict[str, Any] = Field(
        description="By task: a number, {quantile: number}, or {class: probability} of the likeliest."
    )
    contributions: dict[str, float] | None = Field(None, description="With explain: what adds up to score.")
    features: dict[str, list[float]] | None = Field(
        None, description="With explain: the columns of each context feature, as the heads read them."
    )


class ErrorBody(BaseModel):
    """Every answer that is not 2xx."""

    error: str
    error_type: str = Field(
        description=", ".join(
            dict.fromkeys(each.type for each in ServiceError.__subclasses__() if each is not Gone)
        )
    )
    request_id: str
