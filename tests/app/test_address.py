import asyncio
import socket
import subprocess

import pytest

from app.address import Address
from app.link import Link
from app.metrics import Metrics
from app.redis_server import binary
from tests.live import real_redis


@pytest.mark.parametrize(
    ("url", "greeting"),
    [
        ("redis://h", [("HELLO", 3, "SETNAME", "chorus")]),
        ("redis://:p%40@h/3", [("HELLO", 3, "AUTH", "default", "p@", "SETNAME", "chorus"), ("SELECT", 3)]),
        ("rediss://u:p@h?client_name=x", [("HELLO", 3, "AUTH", "u", "p", "SETNAME", "x")]),
        ("unix:///tmp/redis.sock?db=2", [("HELLO", 3, "SETNAME", "chorus"), ("SELECT", 2)]),
    ],
)
def test_a_url_says_how_redis_is_greeted(url, greeting):
    assert Address(url).greeting == greeting


@pytest.mark.parametrize(
    "url", ["redis://h?colour=red", "redis://h?db=many", "rediss://h?ssl_cert_reqs=maybe"]
)
def test_an_option_that_makes_no_sense_is_refused(url):
    with pytest.raises(ValueError, match=r"colour|db|maybe"):
        Address(url)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_file_of_tls_that_is_not_there_is_refused_at_once(tmp_path, option):
    with pytest.raises(ValueError, match="No such file or directory; see to the files of ssl_ca_certs"):
        Address(f"rediss://h?{option}={tmp_path}/none.pem")


def ask(url):
    """What Redis says of our own connection, None if it is away."""

    async def run():
        link = Link(url, timeout=2.0, metrics=Metrics())
        await link.open()
        found = None if link.away else (await link.run("test", [("CLIENT", "INFO")]))[0].decode()
        await link.close()
        return found

    return asyncio.run(run())


def test_user_password_name_and_database_are_those_of_the_url(redis_server):
    with redis_server.client() as client:
        client.execute_command("ACL SETUSER singer on >se:cret ~* +@all")
    place = redis_server.url.removeprefix("unix://")
    told = ask(f"unix://singer:se%3Acret@{place}?db=3&client_name=alto")
    assert {"user=singer", "db=3", "name=alto"} <= set(told.split())
    assert ask(f"unix://singer:wrong@{place}") is None


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A Redis behind TLS that asks for certificates: its port, and the folder of the one that it and we show."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {}key.pem -out {} "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    try:
        for name in (command.format("", "cert.pem"), command.format("other-", "other.pem")):
            subprocess.run(name.split(), cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    try:
        nowhere = [binary(), "--port", "0", "--tls-port", "0", "--save", "", "--unixsocket", "it.sock"]
        subprocess.run(nowhere, cwd=folder, check=False, capture_output=True, timeout=0.5)
        pytest.skip("this redis-server was built without TLS")
    except subprocess.TimeoutExpired:
        pass  # it knows the option, and runs
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key, certificate = str(folder / "key.pem"), str(folder / "cert.pem")
    options = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
    with real_redis(*options, "--tls-ca-cert-file", certificate):
        yield port, folder


SHOWN = "&ssl_certfile={folder}/cert.pem&ssl_keyfile={folder}/key.pem"


@pytest.mark.parametrize(
    ("host", "options", "there"),
    [
        ("localhost", f"?ssl_ca_certs={{folder}}/cert.pem{SHOWN}", True),
        ("localhost", f"?ssl_cert_reqs=none{SHOWN}", True),
        ("127.0.0.1", f"?ssl_cert_reqs=none{SHOWN}", True),
        ("localhost", f"?{SHOWN[1:]}", False),  # nobody that this machine trusts has signed it
        ("localhost", f"?ssl_ca_certs={{folder}}/other.pem{SHOWN}", False),
        ("127.0.0.1", f"?ssl_ca_certs={{folder}}/cert.pem{SHOWN}", False),  # it is not who it says
        ("localhost", "?ssl_ca_certs={folder}/cert.pem", False),  # it asks for ours
    ],
)
def test_tls_is_checked_as_the_url_says(encrypted, host, options, there):
    port, folder = encrypted
    told = ask(f"rediss://{host}:{port}" + options.format(folder=folder))
    assert (told is not None) == there
