import pytest
from typer.testing import CliRunner

from app import keyring
from app.cli import app


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys"


def run(*arguments, **environ):
    return CliRunner().invoke(app, ["keys", *map(str, arguments)], env={"COLUMNS": "200", **environ})


def test_a_key_is_printed_once_and_only_its_hash_is_kept(file):
    result = run("add", "shop", "--scope", "recommend", "--scope", "events", "--file", file)
    assert result.exit_code == 0, result.output
    secret = result.output.strip()
    [key] = keyring.read(file)
    assert key.sha256 == keyring.digest(secret.encode())
    assert secret not in file.read_text()


def test_keys_are_listed_and_revoked_in_the_file_that_the_service_reads(file):
    named = {"CHORUS_API_KEYS_FILE": str(file)}
    run("add", "night", "--scope", "items", "--rate", 5, "--expires", "2027-01-01T00:00:00Z", **named)
    listed = run("list", **named).output
    assert all(word in listed for word in ("night", "items", "5", "2027-01-01 00:00 UTC"))
    run("add", "shop", "--scope", "recommend", "--candidates", 700, 2_100, **named)
    assert all(word in run("list", **named).output for word in ("candidates a second", "700", "2100"))
    assert "night is revoked" in run("revoke", "night", **named).output
    assert "night" not in run("list", **named).output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["add", "a", "--scope", "everything"], "'recommend', 'events', 'items', 'metrics' or 'admin'"),
        (["add", "a b", "--scope", "items"], "name: "),
        (["add", "a", "--scope", "items", "--expires", "tomorrow"], "expires: "),
        (["revoke", "a"], "No such file"),
        (["list"], "No such file"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told_in_one_line_and_code_2(file, arguments, reason):
    result = run(*arguments, "--file", file)
    assert (result.exit_code, reason in result.output) == (2, True), result.output
    assert not file.exists()


def test_a_name_that_is_taken_is_refused_and_the_file_stays(file):
    run("add", "a", "--scope", "items", "--file", file)
    before = file.read_text()
    result = run("add", "a", "--scope", "admin", "--file", file)
    assert (result.exit_code, "two keys have one name" in result.output) == (2, True)
    assert file.read_text() == before


def test_without_a_file_it_asks_which():
    result = run("list")
    assert (result.exit_code, "Set CHORUS_API_KEYS_FILE" in result.output) == (2, True)
