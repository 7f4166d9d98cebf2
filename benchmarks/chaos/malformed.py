"""What no client should send, by name: heads, framing, and bodies to every endpoint that takes one."""

import gzip
import json
from collections.abc import Iterator, Mapping

HEAD = b"Host: x\r\nConnection: close\r\nAuthorization: Bearer %b\r\n"  # the key goes here
LARGE = 10_000_000
BOMB = gzip.compress(gzip.compress(bytes(200_000_000), 1), 1)  # 200 MB in a few kB

HEADS: Mapping[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET /info HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "no such method": b"FROB /info HTTP/1.1\r\n\r\n",
    "a method in small letters": b"get /info HTTP/1.1\r\n\r\n",
    "a long method": b"A" * 5_000 + b" /info HTTP/1.1\r\n\r\n",
    "NUL in the method": b"GE\0T /info HTTP/1.1\r\n\r\n",
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE /info HTTP/1.1\r\nConnection: close\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "a path of another place": b"GET http://x HTTP/1.1\r\n\r\n",
    "a path that is no ASCII": b"GET /items/\xc3\xa9 HTTP/1.1\r\n\r\n",
    "a path that is no UTF-8": b"GET /items/%ff%00%ed%a0%80 HTTP/1.1\r\nConnection: close\r\n\r\n",
    "a path upwards": b"GET /health/../admin/versions HTTP/1.1\r\nConnection: close\r\n\r\n",
    "a long path": b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET /info HTTP/1.1\r\nX: " + b"x" * 60_000 + b"\r\n\r\n",
    "a header without end": b"GET /info HTTP/1.1\r\nX: " + b"x" * LARGE,
    "many headers": b"GET /info HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "blank lines without end": b"\r\n" * 500_000,
    "NUL in a header": b"GET /info HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "a control character in a header": b"GET /info HTTP/1.1\r\nX: a\x01b\r\n\r\n",
    "CR in a header": b"GET /info HTTP/1.1\r\nX: a\rb\r\n\r\n",
    "LF for CR LF": b"GET /info HTTP/1.1\nHost: x\n\n",
    "a folded header": b"GET /info HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    "a header without a colon": b"GET /info HTTP/1.1\r\nhello\r\n\r\n",
    "a header without a name": b"GET /info HTTP/1.1\r\n: x\r\n\r\n",
    "a space before the colon": b"GET /info HTTP/1.1\r\nX : y\r\n\r\n",
    "a host that is none": b"GET /nothing HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n",
}

OTHER = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"  # what is smuggled
FRAMING: Mapping[str, bytes] = {  # behind POST /recommend, HEAD
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OTHER,
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + OTHER,
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(OTHER) + OTHER,
    "one length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "a length below zero": b"Content-Length: -1\r\n\r\n{}",
    "a length in hex": b"Content-Length: 0x2\r\n\r\n{}",
    "a length of 2^63": b"Content-Length: 9223372036854775808\r\n\r\n{}",
    "a length of 2^64 + 2": b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "a length that is too long": b"Content-Length: 50\r\n\r\n{}",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks with a strange space": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\n\r\n",
    "a chunk of no number": b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a chunk below zero": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}{}\r\n0\r\n\r\n",
    "chunks with LF alone": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a chunk's head without end": b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * LARGE,
    "trailers without end": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 1_000_000,
    "an upgrade with a body": (
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(OTHER) + OTHER
    ),
    "a key behind the body": b"Authorization: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-API-Key: x\r\n\r\n",
}  # fmt: skip

ENDPOINTS: Mapping[str, bytes] = {  # method and path to the field that a value is put into
    "POST /recommend": b"user_id",
    "POST /recommend/batch": b"requests",
    "POST /score": b"pairs",
    "POST /events": b"events",
    "PUT /items": b"items",
    "POST /items/delete": b"item_ids",
    "POST /admin/versions": b"version",
}
VALUES: Mapping[str, bytes] = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "beyond a double": b"1e999",
    "5,000 digits": b"9" * 5_000,
    "half of a surrogate pair": b'"\\ud800"',
    "the other half": b'"\\udc00 "',
    "NUL, as JSON has it": b'{"\\u0000": "\\u0000"}',
    "NUL": b'"\0"',
    "no UTF-8": b'"\xff\xfe"',
    "a cut character": b'"\xe2\x82"',
    "arrays without end": b"[" * 200_000,
    "nested arrays": b"[" * 20_000 + b"]" * 20_000,
    "nested objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "nested as far as may be": b'{"a":' * 190 + b"1" + b"}" * 190,
    "one key twice": b'{"a": 1, "a": {"a": 2, "a": 3}}',
    "a million keys": b"{" + b",".join(b'"%d":1' % each for each in range(300_000)) + b"}",
    "a name of 4 MB": b'{"' + b"x" * 4_000_000 + b'": 1}',
    "10 MB": b'"' + b"x" * LARGE + b'"',
}
BODIES: Mapping[str, tuple[bytes, bytes]] = {  # more headers, and all of a body
    "nothing": (b"", b""),
    "NUL": (b"", bytes(1_000)),
    "a byte order mark": (b"", b"\xef\xbb\xbf{}"),
    "UTF-16": (b"", json.dumps({"user_id": "u"}).encode("utf-16")),
    "10 MB of spaces": (b"", b" " * LARGE),
    "a gzip bomb": (b"Content-Encoding: gzip\r\n", BOMB),
    "a gzip bomb, named twice": (b"Content-Encoding: gzip, gzip\r\n", BOMB),
    "a gzip bomb that says nothing": (b"", BOMB),
}


def cases(key: str) -> Iterator[tuple[str, str, bytes]]:
    """Kind, name and bytes of each; none of them can be answered but with 4xx, or by hanging up."""
    head = HEAD % key.encode()
    yield from (("heads", name, sent) for name, sent in HEADS.items())
    for name, rest in FRAMING.items():
        yield "framing", name, b"POST /recommend HTTP/1.1\r\n" + head + rest
    for endpoint, field in ENDPOINTS.items():
        bodies = {name: (b"", b'{"%b": %b}' % (field, value)) for name, value in VALUES.items()}
        for name, (more, body) in (bodies | dict(BODIES)).items():
            start = endpoint.encode() + b" HTTP/1.1\r\n" + head + more
            yield "bodies", f"{endpoint}: {name}", start + b"Content-Length: %d\r\n\r\n" % len(body) + body
            if len(body) < LARGE / 10:
                continue
            chunked = b"".join(
                (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body), body, b"\r\n0\r\n\r\n")
            )
            yield "bodies", f"{endpoint}: {name}, in chunks", start + chunked
