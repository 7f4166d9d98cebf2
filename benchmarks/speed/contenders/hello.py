"""The least that a Python web server can do: a bare ASGI app on uvicorn answers `hello`."""

import os
from typing import Any

import uvicorn

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
}
BODY = {"type": "http.response.body", "body": b"hello"}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    del scope, receive
    await send(START)
    await send(BODY)


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(os.environ["SPEED_PORT"]), loop="uvloop", http="httptools", lifespan="off",
        access_log=False, log_level="warning",
    )  # fmt: skip
