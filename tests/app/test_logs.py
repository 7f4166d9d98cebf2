import json
import logging

import pytest

from app import logs


@pytest.fixture(autouse=True)
def _put_back():
    names = ("app", "uvicorn")
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


def test_a_text_line_names_its_logger(capsys):
    logs.configure("text")
    logging.getLogger("app.link").warning("Redis is away")
    assert "WARNING app.link: Redis is away" in capsys.readouterr().err
