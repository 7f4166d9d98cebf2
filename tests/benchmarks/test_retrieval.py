import numpy as np

from benchmarks.quality.retrieval import popular, ranks, recalls, wanted
from tests.training import toy


def test_a_rank_counts_what_does_not_score_lower_but_for_what_is_left_out():
    vectors = np.array([[3.0], [2.0], [2.0], [1.0]])
    searches = np.array([[1.0], [-1.0]])
    places, items = np.array([0, 0, 1]), np.array([1, 3, 3])
    nothing = np.zeros(0, np.int64)
    assert ranks(searches, vectors, places, items, [nothing, nothing]).tolist() == [3, 4, 1]
    assert ranks(searches, vectors, places, items, [np.array([0, 2]), nothing]).tolist() == [1, 2, 1]


def test_recall_is_of_what_was_wanted_in_the_test_part_warm_and_cold():
    dataset = toy.made(tasks={"click": {"type": "binary", "label": "clicked", "main": True}})
    found = recalls("shop", dataset, *popular("shop", dataset))
    owners = dataset.requests.owners[wanted("shop", dataset, "test")]
    assert found["all requests"] == len(set(owners))
    assert found["all"] == 1.0  # fewer items than are fetched
