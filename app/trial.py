"""A version that stands beside the stable one, and for how much of it: `8:0.05`."""

from pydantic import BaseModel, ConfigDict, Field

MOST = {"canary": 0.5, "shadow": 1.0}  # a canary that answers more than half is to be promoted


class Trial(BaseModel):
    """share: of the users, or of the requests."""

    model_config = ConfigDict(frozen=True)

    version: int = Field(ge=1)
    share: float = Field(gt=0.0, le=1.0)

    @classmethod
    def read(cls, told: str) -> "Trial":
        """As settings have it. ValueError says what is wrong."""
        version, _, share = told.partition(":")
        try:
            return cls(version=int(version), share=float(share))
        except ValueError as error:
            raise ValueError("give a version and its share, above 0 and at most 1, such as 8:0.05") from error

    def __str__(self) -> str:
        return f"{self.version}:{self.share!r}"


def check(label: str, share: float) -> None:
    """Refuse a share that a label may not have: ValueError."""
    if not 0.0 < share <= MOST[label]:
        raise ValueError(f"a {label} has a share above 0, and of {MOST[label]:g} at most")
