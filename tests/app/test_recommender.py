"""The use case without HTTP, on the real Redis."""

import asyncio

import pytest

from app.candidates import Candidates, Described
from app.link import Link
from app.metrics import Metrics, Stages
from app.model import build
from app.question import Ask
from app.shares import parts
from model_store.fusion import Fusion

NOW = 1_795_348_800.0


@pytest.fixture
def with_model(settings):
    def run(work):
        async def session():
            metrics = Metrics()
            link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
            model = await build(settings, link, metrics)
            try:
                return await work(model, Stages(metrics))
            finally:
                await model.state.settle()
                model.close()
                await link.close()

        return asyncio.run(session())

    return run


def ask(model, **fields):
    return Ask(**{"now": NOW, "fusion": Fusion.default(model.manifest)} | fields)


def test_a_batch_gives_what_each_ask_gives_alone(with_model):
    async def work(model, stages):
        ids = model.catalogue.items.ids
        asks = [
            ask(model, user_id=f"rec:{n}", query=f"red {n}", candidates=Candidates(ids[: 5 + n]))
            for n in range(4)
        ]
        together = await model.recommender.rank(asks, stages)
        alone = [(await model.recommender.rank([one], stages))[0] for one in asks]
        return together, alone

    together, alone = with_model(work)
    for first, second in zip(together, alone, strict=True):
        assert [item.item_id for item in first.items] == [item.item_id for item in second.items]
        assert [item.score for item in first.items] == pytest.approx(
            [item.score for item in second.items], abs=1e-5
        )


def test_a_batch_of_several_parts_gives_what_each_ask_gives_alone(with_model):
    async def work(model, stages):
        ids = model.catalogue.items.ids
        asks = [ask(model, user_id=f"rec:{n}", candidates=Candidates(ids[n % 7 :])) for n in range(120)]
        together = await model.recommender.rank(asks, stages)
        alone = [(await model.recommender.rank([one], stages))[0] for one in asks]
        return together, alone, len(list(parts(asks))), stages._metrics.candidates_waiting.value

    together, alone, number, waiting = with_model(work)
    assert number > 1
    assert waiting == 0
    for first, second in zip(together, alone, strict=True):
        assert [item.item_id for item in first.items] == [item.item_id for item in second.items]
        assert [item.score for item in first.items] == pytest.approx(
            [item.score for item in second.items], abs=1e-5
        )


def test_a_crowd_of_requests_gets_what_each_gets_alone(with_model):
    async def work(model, stages):
        ids = model.catalogue.items.ids
        shapes = [
            {},
            {"k": 2},
            {"explain": True},
            {"filters": {"category": ()}},
            {"fusion": Fusion("weighted_sum", {"click": 1.0})},
        ]
        asks = [
            ask(model, user_id=f"rec:{n}", candidates=Candidates(ids[n : 2 * n + 1]), **shapes[n % 5])
            for n in range(10)
        ]
        alone = [await model.recommender.rank([one], stages) for one in asks]
        crowd = await asyncio.gather(*(model.recommender.rank([one], stages) for one in asks))
        return crowd, alone

    for [first], [second] in zip(*with_model(work), strict=True):
        assert [item.item_id for item in first.items] == [item.item_id for item in second.items]
        assert [item.score for item in first.items] == pytest.approx(
            [item.score for item in second.items], abs=2e-6
        )


def test_retrieval_with_room_for_all_is_the_whole_catalogue(with_model):
    async def work(model, stages):
        ids = model.catalogue.items.ids
        retrieved, given = await model.recommender.rank(
            [
                ask(model, user_id="rec:all", k=10),
                ask(model, user_id="rec:all", k=10, candidates=Candidates(ids)),
            ],
            stages,
        )
        return retrieved, given

    retrieved, given = with_model(work)
    assert [item.item_id for item in retrieved.items] == [item.item_id for item in given.items]


def test_scores_come_in_the_order_given_duplicates_too(with_model):
    async def work(model, stages):
        ids = model.catalogue.items.ids
        order = (ids[3], ids[1], ids[3])
        [ranking] = await model.recommender.score(
            [ask(model, user_id="rec:s", candidates=Candidates(tuple(order)))], stages
        )
        return order, ranking

    order, ranking = with_model(work)
    assert tuple(item.item_id for item in ranking.items) == order
    assert ranking.items[0] == ranking.items[2]


def test_a_cold_item_with_the_text_of_a_query_is_encoded_once(with_model):
    async def work(model, stages):
        cold = Described("new", "never seen text")
        [ranking] = await model.recommender.rank(
            [ask(model, user_id="rec:c", query="never seen text", candidates=Candidates.of([cold]))], stages
        )
        return ranking, stages._metrics.encodes.labels("text").value

    ranking, encodes = with_model(work)
    assert [item.item_id for item in ranking.items] == ["new"]
    assert encodes == 1


def test_what_no_candidate_survives_is_an_empty_answer(with_model):
    async def work(model, stages):
        [ranking] = await model.recommender.rank(
            [ask(model, user_id="rec:e", candidates=Candidates(("zz",)))], stages
        )
        return ranking

    ranking = with_model(work)
    assert (ranking.items, ranking.unknown) == ([], ["zz"])
