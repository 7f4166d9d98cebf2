"""Asks that are answered together are answered as each is alone."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.candidates import Candidates, Described
from app.catalogue import Catalogue
from app.errors import ModelFailure
from app.link import Link
from app.metrics import Metrics, Stages
from app.model import build
from app.moments import Moments
from app.question import Ask, Known
from app.ranker import Ranker
from app.slates import Slates
from app.users import Past
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.fusion import Fusion
from model_store.scorer import Scorer

NOW = 1_795_348_800.0
USERS = ("ranker:a", "ranker:b", "ranker:new")


@pytest.fixture(scope="module")
def opened(bundle):
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def told(client, opened):
    """Two users who were shown and did something; items that were counted."""
    ids, click = opened.items.ids, opened.manifest.events[1]
    for number, user in enumerate(USERS[:2]):
        shown = {"event": "view", "user_id": user, "item_ids": list(ids[number : number + 9])}
        clicks = [{"event": click, "user_id": user, "item_id": ids[number + place]} for place in (0, 3, 3, 7)]
        for event in (shown, *clicks):
            answer = client.post("/events", json={**event, "timestamp": "2026-11-20T10:00:00Z"})
            assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def answered(settings, told):
    """Asks in, answers out: of one call, and of a call each."""
    metrics = Metrics()
    with asyncio.Runner() as runner:
        link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
        model = runner.run(build(settings, link, metrics))

        def both(asks, *, score=False):
            answer = model.recommender.score if score else model.recommender.rank
            together = runner.run(answer(asks, Stages(metrics)))
            return together, [runner.run(answer([ask], Stages(metrics)))[0] for ask in asks]

        yield both
        runner.run(model.state.settle())
        model.close()
        runner.run(link.close())


def same(together, alone):
    """To the last place or nearly: one product of matrices adds up in another order than another."""
    for one, other in zip(together, alone, strict=True):
        assert (one.unknown, one.degraded) == (other.unknown, other.degraded)
        assert len(one.items) == len(other.items)
        known = {item.item_id: item for item in other.items}
        for item, expected in zip(one.items, other.items, strict=True):
            assert item.score == pytest.approx(expected.score, abs=2e-6)
            assert item.features == known[item.item_id].features
            for name, value in known[item.item_id].tasks.items():
                assert item.tasks[name] == pytest.approx(value, rel=1e-5, abs=2e-6), name


def cold(number):
    return Described(f"cold{number}", f"a thing numbered {number}", published=NOW - 86_400.0 * number)


@st.composite
def asks(draw, opened):
    """Any ask: all kinds of users, candidates and wishes."""
    ids, manifest, [name, *_] = opened.items.ids, opened.manifest, opened.manifest.attributes
    records = st.tuples(st.sampled_from(ids[:9]), st.just(manifest.events[1]), st.floats(NOW - 9e5, NOW + 9))
    warm = st.sampled_from([*ids[:30], "no such item"])
    described = st.integers(0, 2).map(cold)
    given = st.lists(warm, max_size=12) | st.lists(described | warm, max_size=6)
    some = opened.items.attributes[name].values[::2]
    return Ask(
        now=draw(st.sampled_from([NOW, NOW - 40_000.0, NOW + 7_200.5])),
        fusion=draw(st.sampled_from([Fusion.default(manifest), Fusion("weighted_product", {"click": 1.0})])),
        user_id=draw(st.sampled_from(USERS)),
        history=draw(st.none() | st.lists(records, max_size=5).map(tuple)),
        query=draw(st.sampled_from([None, "red", "a blue mug"])),
        candidates=draw(st.none() | given.map(Candidates.of)),
        k=draw(st.integers(1, 30)),
        filters=draw(st.sampled_from([{}, {name: some}])),
        exclude=draw(st.frozensets(st.sampled_from(ids[:6]), max_size=2)),
        exclude_seen=draw(st.sampled_from([None, True, False])),
        explain=draw(st.booleans()),
    )


SLOW = hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@SLOW
@given(st.data())
def test_asks_of_one_call_are_answered_like_each_alone(answered, opened, data):
    same(*answered(data.draw(st.lists(asks(opened), min_size=1, max_size=6))))


@SLOW
@given(st.data())
def test_pairs_of_one_ask_are_scored_like_each_alone(answered, opened, data):
    drawn = data.draw(st.lists(asks(opened), min_size=1, max_size=4))
    given_ids = st.lists(st.sampled_from(opened.items.ids[:20]), min_size=1, max_size=5)
    joint = [replace(ask, candidates=Candidates(tuple(data.draw(given_ids)))) for ask in drawn]
    pairs = [replace(ask, candidates=Candidates((item,))) for ask in joint for item in ask.candidates.ids]
    _, alone = answered(pairs, score=True)
    together, _ = answered(joint, score=True)
    found = [item for ranking in together for item in ranking.items]
    assert [item.item_id for item in found] == [pair.candidates.ids[0] for pair in pairs]
    for item, ranking in zip(found, alone, strict=True):
        same([replace(ranking, items=[item])], [ranking])


@pytest.fixture(scope="module")
def spoilt(opened):
    """A ranker with an item whose vector is no number, the first."""
    vectors = np.array(opened.items.vectors)
    vectors[0] = np.nan
    engine = Engine(opened, "cpu")
    scorer = Scorer(opened, engine.features)
    catalogue = Catalogue(
        replace(opened.items, parts=replace(opened.items.parts, vectors=vectors)),
        opened.manifest,
        scorer.parts,
    )
    slates = Slates(catalogue, opened.manifest.retrieval, 500)
    moments = Moments(engine, catalogue)
    return Ranker(scorer, catalogue, clock=engine.clock, slates=slates, moments=moments, metrics=Metrics())


def known(opened):
    nobody = Past(
        rows=np.zeros(0, np.int64), events=np.zeros(0, np.int64), times=np.zeros(0), items=(),
        profile="", digest=b"",
    )  # fmt: skip
    return Known(past=nobody, user=opened.items.vectors[1], query=None, texts={}, cache="bypass")


def test_an_ask_whose_numbers_are_not_finite_fails_alone(spoilt, opened):
    ids, fusion = opened.items.ids, Fusion.default(opened.manifest)
    given = [ids[1:4], ids[:2], (), ids[4:6]]
    asks = [Ask(now=NOW, fusion=fusion, user_id="u", candidates=Candidates(tuple(each))) for each in given]
    for answer in (spoilt.best, spoilt.all):
        first, second, third, fourth = answer(asks, [known(opened)] * 4)
        assert isinstance(second, ModelFailure)
        assert [len(each.items) for each in (first, third, fourth)] == [3, 0, 2]
