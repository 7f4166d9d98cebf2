import pytest

from app import errors
from app.errors import ServiceError


def test_every_error_is_drawn_in_the_tree():
    drawn = errors.__doc__
    for error in ServiceError.__subclasses__():
        assert f"{error.__name__} " in drawn
        assert str(error.status) in drawn


@pytest.mark.parametrize("error", ServiceError.__subclasses__(), ids=lambda error: error.__name__)
def test_an_error_is_its_body(error):
    assert error("why").body("r1") == {"error": "why", "error_type": error.type, "request_id": "r1"}


def test_an_error_of_an_entry_has_no_id_of_its_own():
    assert errors.Invalid("why").body() == {"error": "why", "error_type": "validation"}
