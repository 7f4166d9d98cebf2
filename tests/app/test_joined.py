import asyncio

import pytest

from app.joined import Joined


def received(*said):
    """What a client gets, chunk by chunk, of a server that does this with its connection."""

    class Server(asyncio.Protocol):
        def connection_made(self, transport):
            joined = Joined(transport)
            for do in said:
                do(joined)

    async def run():
        loop, chunks = asyncio.get_running_loop(), []
        server = await loop.create_server(Server, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while chunk := await reader.read(1 << 16):
            chunks.append(chunk)
        writer.close()
        server.close()
        return chunks

    return asyncio.run(asyncio.wait_for(run(), 10))


def saying(*chunks):
    return [lambda joined, chunk=chunk: joined.write(chunk) for chunk in chunks]


def close(joined):
    joined.close()


@pytest.mark.parametrize("chunks", [(b"head",), (b"head", b"body"), (b"head", b"body", b"more"), ()])
def test_everything_is_sent_in_order_and_before_the_end(chunks):
    assert b"".join(received(*saying(*chunks), close)) == b"".join(chunks)


def test_head_and_body_of_one_turn_come_as_one():
    assert received(*saying(b"head", b"body"), close) == [b"headbody"]


def test_a_head_without_a_body_waits_no_longer_than_a_turn():
    def later(joined):
        asyncio.get_running_loop().call_later(0.05, joined.close)

    assert received(*saying(b"head"), later) == [b"head"]


def test_all_else_is_the_connections_own():
    names = []
    received(lambda joined: names.append(joined.get_extra_info("sockname")), close)
    assert names[0][0] == "127.0.0.1"
