import asyncio
import gc
import json
import logging

import pytest

from app import logs


@pytest.fixture(autouse=True)
def _put_back():
    names = ("app", "uvicorn", "asyncio", "concurrent.futures")
    before = [
        (logging.getLogger(n).handlers, logging.getLogger(n).propagate, logging.getLogger(n).level)
        for n in names
    ]
    yield
    for name, (handlers, propagate, level) in zip(names, before, strict=True):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_json_line_is_one_object_with_the_error(capsys):
    logs.configure("json")
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logging.getLogger("app.x").exception("request %s failed", "r1")
    [line] = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record["message"] == "request r1 failed"
    assert record["level"] == "error"
    assert "ValueError" in record["error"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_fault_is_told_with_its_place_and_causes_and_nothing_of_what_it_quotes(capsys, form):
    logs.configure(form)
    user, text = "ecila"[::-1], "s'ecila fo"[::-1]
    try:
        try:
            {}[user]
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError:
        logging.getLogger("app.x").exception("request %s failed", "r1")
    told = capsys.readouterr().err
    assert all(word in told for word in ("ValueError", "because of", "KeyError", "test_logs.py", "r1"))
    assert user not in told


def test_a_text_line_names_its_logger(capsys):
    logs.configure("text")
    logging.getLogger("app.link").warning("Redis is away")
    assert "WARNING app.link: Redis is away" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_the_event_loop_says_of_a_lost_task_does_not_show_its_error(capsys, form):
    logs.configure(form)
    user = "ecila"[::-1]

    async def lost():
        raise ValueError(user)

    async def run():
        task = asyncio.create_task(lost())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(run())
    told = capsys.readouterr().err
    assert "Task exception was never retrieved" in told
    assert "ValueError" in told
    assert user not in told
