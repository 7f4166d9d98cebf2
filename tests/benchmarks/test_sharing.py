from benchmarks.quality.sharing import ROWS, place
from training.sections import ModelConfig, TrainingConfig


def test_every_row_is_a_way_to_share_and_to_weigh_that_a_configuration_knows():
    for sharing, balance, side in ROWS.values():
        ModelConfig(sharing=sharing)
        TrainingConfig(balance=balance)
        assert side is None or side > 0.0


def test_each_network_has_a_folder_of_its_own():
    places = [place("shop", 7, row) for row in ROWS] + [
        place("shop", 7, "alone", task) for task in ("a", "b")
    ]
    assert len(set(places)) == len(places)
    assert not any(" " in str(each) or "," in str(each) for each in places)
