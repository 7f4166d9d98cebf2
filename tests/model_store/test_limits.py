"""What is too long for a request."""

import pytest

from model_store import limits


@pytest.mark.parametrize(
    ("text", "fits"), [("", True), ("æøå", True), ("æøåæ", False), ("a\0", False), ("\0", False)]
)
def test_a_text_fits_if_it_is_short_enough_and_has_no_nul(text, fits):
    assert limits.fits(text, 3) is fits
