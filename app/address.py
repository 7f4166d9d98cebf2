"""Where a Redis is, from its URL: the same schemes and options as redis-py reads.

redis://[user:password@]host[:port][/db]    rediss:// the same with TLS    unix:///path[?db=]
?ssl_ca_certs=, ?ssl_cert_reqs=none, ?client_name= and so on
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

Command = tuple[str | bytes | float, ...]
P = TypeVar("P", bound=asyncio.BaseProtocol)

NAME = "chorus"  # in CLIENT LIST, unless the URL names another


class Address:
    """One server; ValueError for a URL that is none."""

    def __init__(self, url: str) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(url))
            kind = options.pop("connection_class", Connection)
            self._known: Connection | UnixDomainSocketConnection = kind(**options)
            # now: to read what a machine trusts takes longer than a request waits for Redis
            self._context = self._known.ssl_context.get() if isinstance(self._known, SSLConnection) else None
        except (TypeError, RedisError) as error:  # an option that is none, or that cannot have this value
            raise ValueError(f"{error}; correct or drop that option") from error
        except OSError as error:
            files = "ssl_ca_certs, ssl_certfile and ssl_keyfile"
            raise ValueError(f"{error.strerror or error}; see to the files of {files}") from error

    @property
    def greeting(self) -> list[Command]:
        """What is said first: the protocol, who we are, which database."""
        known = self._known
        login = ("AUTH", known.username or "default", known.password) if known.password else ()
        hello: Command = ("HELLO", 3, *login, "SETNAME", known.client_name or NAME)
        database = int(known.db or 0)
        return [hello, ("SELECT", database)] if database else [hello]

    async def connect(self, build: Callable[[], P]) -> P:
        """A new connection, handled by the protocol that `build` makes."""
        known, loop = self._known, asyncio.get_running_loop()
        if isinstance(known, UnixDomainSocketConnection):
            return (await loop.create_unix_connection(build, known.path))[1]
        return (await loop.create_connection(build, known.host, int(known.port), ssl=self._context))[1]
