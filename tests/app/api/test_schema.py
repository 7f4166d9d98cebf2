import pytest
from pydantic import ValidationError

from app.api.schema import RecommendRequest


def test_every_field_of_a_request_may_be_null_or_left_out():
    for name, field in RecommendRequest.model_fields.items():
        assert not field.is_required(), name


@pytest.mark.parametrize(
    "time", ["2026-11-22T08:00:00Z", "2026-11-22T08:00:00+02:00", "2026-11-22T08:00:00.123456Z"]
)
def test_times_with_an_offset_are_taken(time):
    RecommendRequest.model_validate_json(f'{{"user_id": "u", "context": {{"timestamp": "{time}"}}}}')


def test_a_request_cannot_be_changed_after_it_was_checked():
    request = RecommendRequest(user_id="u")
    with pytest.raises(ValidationError):
        request.k = 7
