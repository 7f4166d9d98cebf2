import pytest

from app import keyring
from app.errors import SettingsError

HASH = keyring.digest(b"secret")


def line(*words):
    return keyring.parse([" ".join(words)])


def test_a_line_is_a_key_and_a_key_a_line():
    [key] = line("shop", "recommend,events", HASH, "rate=2.5", "burst=10.0", "expires=2027-01-01T00:00:00Z")
    assert (key.name, key.scopes, key.rate, key.burst) == ("shop", ("recommend", "events"), 2.5, 10.0)
    assert key.expires.year == 2027
    assert keyring.parse([key.line]) == [key]
    [key] = line("shop", "recommend", HASH, "candidates=500.0", "candidates_burst=1000.0")
    assert (key.candidates, key.candidates_burst, key.rate) == (500.0, 1_000.0, None)
    assert keyring.parse([key.line]) == [key]


def test_comments_and_blank_lines_are_nothing():
    keys = keyring.parse(["# all of them", "", f"a items {HASH}  # of the night's job", "   "])
    assert [key.name for key in keys] == ["a"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["shop"], "line 1: write a name, its scopes and the sha256"),
        (["sh/op", "items", HASH], "line 1: name"),
        (["shop", "items;events", HASH], "line 1: scopes: Input should be 'recommend', 'events'"),
        (["shop", "items,", HASH], "line 1: scopes"),
        (["shop", "items", HASH[1:]], "line 1: sha256"),
        (["shop", "items", HASH.upper()], "line 1: sha256"),
        (["shop", "items", HASH, "rate=0"], "line 1: rate: Input should be greater than 0"),
        (["shop", "items", HASH, "rate=inf"], "line 1: rate: Input should be a finite number"),
        (["shop", "items", HASH, "burst=0.5"], "line 1: burst"),
        (["shop", "items", HASH, "burst=5"], "line 1: burst: limits nothing by itself; give rate too"),
        (["shop", "items", HASH, "rate=5", "candidates_burst=9"], "line 1: candidates_burst: limits nothing"),
        (["shop", "items", HASH, "candidates=0"], "line 1: candidates: Input should be greater than 0"),
        (["shop", "items", HASH, "expires=2027-01-01T00:00:00"], "line 1: expires"),
        (["shop", "items", HASH, "expired=never"], "line 1: expired: Extra inputs"),
        (["shop", "items", HASH, "rate"], "line 1: rate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_line_that_is_no_key_is_told_with_its_number(words, reason):
    with pytest.raises(ValueError, match=reason):
        line(*words)


def test_neither_names_nor_keys_stand_twice():
    with pytest.raises(ValueError, match="two keys have one name"):
        keyring.parse([f"a items {HASH}", f"a items {keyring.digest(b'other')}"])
    with pytest.raises(ValueError, match="two keys have one sha256"):
        keyring.parse([f"a items {HASH}", f"b admin {HASH}"])


def test_keys_come_and_go_and_comments_stay(tmp_path):
    path = tmp_path / "keys"
    for name in ("a", "b"):
        keyring.add(path, keyring.key(name=name, scopes=("items",), sha256=keyring.digest(name.encode())))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    path.write_text(path.read_text() + "# the end\n")
    keyring.revoke(path, "a")
    assert [key.name for key in keyring.read(path)] == ["b"]
    assert path.read_text().splitlines()[-1] == "# the end"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]
    with pytest.raises(SettingsError, match="has no key a; there are: b"):
        keyring.revoke(path, "a")


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        keyring.read(tmp_path / "nothing")
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        keyring.read(tmp_path / "keys")


def test_no_two_keys_that_are_made_are_the_same():
    assert len({keyring.make() for _ in range(100)}) == 100
    assert all(len(keyring.make()) >= 50 for _ in range(3))


def test_a_key_that_stands_in_the_place_of_its_hash_is_not_told():
    with pytest.raises(ValueError, match="sha256") as error:
        line("shop", "items", "chorus_secret")
    assert "chorus_secret" not in str(error.value)
