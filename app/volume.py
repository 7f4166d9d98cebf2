"""The volume of the shelf, which may not answer: a share of the network that hangs, a disk that fails.

It is looked at on a thread, for the event loop answers requests meanwhile; and not for ever, for whoever waits for a
version keeps all others from being changed. A look that hangs keeps its thread, which does not keep the process.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from app.errors import Refused

T = TypeVar("T")

SECONDS = 5.0


async def ask(look: Callable[[], T], *, patient: bool = False) -> T:
    """What a look at it says. Raises what the look raises.

    And Refused if there is no answer in time, unless we are patient.
    """
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            answer.set_result(look())
        except Exception as error:  # noqa: BLE001 it is for who asks
            answer.set_exception(error)

    Thread(target=run, name="shelf", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), None if patient else SECONDS)
    except TimeoutError:
        raise Refused(f"the shelf has not answered for {SECONDS:g} s: does its volume hang?") from None
