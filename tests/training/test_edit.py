import tomllib

import tomlkit

from training.edit import edited, put

TEXT = """name = "toy"   # of ours

[training]     # how long
epochs = 3
seed = 7
"""


def test_another_seed_leaves_the_rest_as_it_was_written():
    assert edited(TEXT, {"training.seed": 11}) == TEXT.replace("seed = 7", "seed = 11")
    assert edited(TEXT, {}) is TEXT


def test_a_table_that_is_not_there_is_made():
    told = tomllib.loads(edited('name = "toy"\n', {"training.seed": 3}))
    assert told == {"name": "toy", "training": {"seed": 3}}


def test_dotted_keys_are_set_where_they_belong():
    document = tomlkit.parse(TEXT)
    put(document, {"training.epochs": 1, "model.sharing": "ple"})
    told = tomllib.loads(tomlkit.dumps(document))
    assert told["training"] == {"epochs": 1, "seed": 7}
    assert told["model"] == {"sharing": "ple"}
