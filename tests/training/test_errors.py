from model_store.errors import ChorusError
from training import errors
from training.errors import TrainingError


def tree(error: type[Exception]) -> list[str]:
    """The error and what is below it here, from the top to the bottom."""
    below = [child for child in error.__subclasses__() if child.__module__ == errors.__name__]
    return [error.__name__, *(name for child in below for name in tree(child))]


def test_the_tree_is_the_one_that_the_docstring_draws():
    drawn = [line.split("──")[-1].split()[0] for line in errors.__doc__.splitlines()[2:] if line.strip()]
    assert drawn == tree(ChorusError)


def test_whatever_we_raise_on_purpose_can_be_caught_as_one():
    assert issubclass(TrainingError, ChorusError)


def test_every_error_says_when_it_is_raised():
    assert all(error.__doc__ for error in TrainingError.__subclasses__())
