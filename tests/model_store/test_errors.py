from model_store import errors


def tree(error: type[Exception]) -> dict[str, dict]:
    return {
        child.__name__: tree(child) for child in error.__subclasses__() if child.__module__ == errors.__name__
    }


def test_the_tree_is_the_one_that_the_docstring_draws():
    drawn = [line.split("──")[-1].split()[0] for line in errors.__doc__.splitlines()[2:] if line.strip()]
    found = tree(errors.ChorusError)
    flat = ["ChorusError"]
    for name, children in found.items():
        flat += [name, *children]
    assert sorted(drawn) == sorted(flat)


def test_every_error_says_when_it_is_raised():
    assert all(vars(errors)[name].__doc__ for name in vars(errors) if isinstance(vars(errors)[name], type))
