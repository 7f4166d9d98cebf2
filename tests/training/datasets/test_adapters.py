from training.datasets.adapters import ADAPTERS, Source


def test_every_public_data_set_has_an_adapter():
    assert set(ADAPTERS) == set(Source)
