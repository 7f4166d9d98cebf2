import socket
from contextlib import contextmanager
from threading import Thread

import numpy as np

from benchmarks.chaos.storm import LOST, REFUSED, Callers, moments
from benchmarks.speed.link import request

STAY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LEAVE = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LATER = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


@contextmanager
def parrot(*answers):
    """A server that gives these answers and then listens no more; it hangs up instead of one that is empty."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()

    def serve():
        left = list(answers)
        while left:
            talk, _ = listening.accept()
            with talk:
                while left and talk.recv(65_536):
                    talk.sendall(left[0])
                    if left.pop(0) in (b"", LEAVE):
                        break
        listening.close()

    thread = Thread(target=serve)
    thread.start()
    yield f"http://{address[0]}:{address[1]}/recommend"
    thread.join()


def met(*answers, number):
    with parrot(*answers) as url:
        return Callers(url, [request(url, b"{}")], [0.1 * each for each in range(number)], most=1).run()


def test_answers_come_on_one_connection_with_what_they_say():
    told = met(STAY, LATER, STAY, number=3)
    assert told["status"] == [200, 429, 200]
    assert told["told"] == [False, True, False]
    assert all(wait > 0.0 for wait in told["waits"])


def test_a_connection_that_the_server_asks_to_close_is_followed_by_another():
    assert met(LEAVE, LEAVE, STAY, number=3)["status"] == [200, 200, 200]


def test_a_request_on_which_the_server_hangs_up_is_lost():
    assert met(STAY, b"", STAY, number=3)["status"] == [200, LOST, 200]


def test_a_request_that_finds_nobody_is_refused_and_not_lost():
    assert met(STAY, number=2)["status"] == [200, REFUSED]


def test_requests_come_at_the_same_moments_of_each_period():
    due, each = moments(200.0, 9.0, 4.0)
    assert due == sorted(due)
    assert due[-1] < 9.0
    np.testing.assert_allclose(np.array(due[each : 2 * each]) - due[:each], 4.0)
    np.testing.assert_allclose(np.array(due[2 * each :]) - due[: len(due) - 2 * each], 8.0)
    assert due[each - 1] < 4.0


def test_without_a_period_none_comes_again():
    due, each = moments(200.0, 9.0, 9.0)
    assert len(due) == each == 1_800
