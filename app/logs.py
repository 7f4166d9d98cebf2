"""Log lines on stderr: text to read, or one JSON object a line. They hold nothing of what users sent.

A fault is told by its type and by where it was raised, without its message: that may quote a request.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Literal


class Discreet(logging.Formatter):
    """Faults without their messages."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 as logging has it
        """Where each was raised, and its type; the first cause last."""
        told, error = [], ei[1]
        while error is not None:
            place = "".join(traceback.format_tb(error.__traceback__))
            told.append(f"{place}{type(error).__module__}.{type(error).__qualname__}")
            error = error.__cause__ or error.__context__
        return "\nbecause of\n".join(told)


class Foreign(logging.Filter):
    """Of what others say the first line: below it the event loop shows tasks with the errors that they met."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return True


class JsonFormatter(Discreet):
    """{"time", "level", "logger", "message"[, "error"]}, one line a record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(form: Literal["text", "json"]) -> None:
    """Send the service's and uvicorn's lines to stderr in one form; requests and refusals are counted, not logged."""
    text = Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s")
    ours, others = logging.StreamHandler(), logging.StreamHandler()
    others.addFilter(Foreign())
    for name, handler, level in (
        ("app", ours, logging.INFO),
        ("uvicorn", ours, logging.ERROR),
        ("asyncio", others, logging.ERROR),
        ("concurrent.futures", others, logging.ERROR),
    ):
        handler.setFormatter(JsonFormatter() if form == "json" else text)
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
