"""Who is answered by which version."""

import asyncio

import pytest

from app.choice import Choice, each
from app.labels import lot
from app.metrics import Stages
from app.question import Ask
from app.settings import Settings
from tests.live import serving
from tests.shelves import publish

USERS = [f"user-{number}" for number in range(10_000)]


@pytest.fixture(scope="module")
def opened(bundle, tmp_path_factory, redis_server):
    """Runs work with the choice of a service with a canary."""
    shelf = tmp_path_factory.mktemp("choice")
    for _ in range(2):
        publish(bundle, shelf)
    settings = Settings(
        store=shelf, redis_url=redis_server.url, redis_timeout_ms=2_000, version=1, canary="2:0.3"
    )

    def run(work):
        async def inside():
            async with serving(settings) as (_, service):
                return await work(service.choice)

        return asyncio.run(inside())

    return run


def test_a_share_of_the_users_goes_to_the_canary_and_stays_there_when_it_grows(opened):
    async def work(choice):
        before: set[str] = set()
        for share in (0.01, 0.05, 0.3):
            wider = Choice(choice.stable, choice.canary, share)
            chosen = {user for user in USERS if wider.of(user)[0] == "canary"}
            assert all((wider.of(user)[1] is choice.canary) == (user in chosen) for user in USERS)
            assert abs(len(chosen) / len(USERS) - share) <= 0.01
            assert before <= chosen
            before = chosen
        assert {choice.of(user)[0] for user in before} == {"canary"}
        assert {Choice(choice.stable).of(user)[0] for user in USERS} == {"stable"}

    opened(work)


def test_each_is_answered_by_its_own_version_in_the_order_given(opened):
    async def work(choice):
        asked = []
        for user in USERS[:20]:
            _, model = choice.of(user)
            asked.append((model, Ask(now=1.0, fusion=model.fusion, user_id=user, history=(), k=1)))
        runs = []

        async def answer(model, asks):
            runs.append((model, [ask.user_id for ask in asks]))
            return await model.recommender.rank(asks, Stages(model.recommender._ranker._metrics))

        answers = await each(asked, answer)
        alone = [(await answer(model, [ask]))[0].items for model, ask in asked]
        assert [each.items for each in answers] == alone
        assert {id(model) for model, _ in runs[:2]} == {id(choice.stable), id(choice.canary)}
        for model, users in runs[:2]:
            own = {lot(model.manifest.name, user) < choice.share for user in users}
            assert own == {model is choice.canary}

    opened(work)
