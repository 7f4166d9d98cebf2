import pytest

from app.errors import SettingsError
from app.settings import PREFIX, Settings


def test_the_environment_is_read_by_prefix(monkeypatch):
    monkeypatch.setenv("CHORUS_PORT", "9000")
    monkeypatch.setenv("CHORUS_REDIS_TIMEOUT_MS", "20")
    settings = Settings.load()
    assert (settings.port, settings.redis_timeout_ms) == (9000, 20)


def test_what_is_given_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("CHORUS_PORT", "9000")
    assert Settings.load(port=9001).port == 9001
    assert Settings.load(port=None).port == 9000


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CHORUS_PROT", "CHORUS_PORT"),
        ("CHORUS_REDIS", "CHORUS_REDIS_URL"),
        ("CHORUS_RETREIVE", "CHORUS_RETRIEVE"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, nearest):
    with pytest.raises(SettingsError, match=f"{name} is no setting of Chorus; did you mean {nearest}"):
        Settings.load({name: "1"})


def test_the_tests_own_variable_is_tolerated():
    Settings.load({"CHORUS_DATA": "/data", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CHORUS_HOST", "", "at least 1 character"),
        ("CHORUS_PORT", "many", "valid integer"),
        ("CHORUS_PORT", "70000", "less than or equal to 65535"),
        ("CHORUS_DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("CHORUS_REDIS_URL", "localhost:6379", "begin it with one of redis://"),
        ("CHORUS_REDIS_URL", "redis://h?colour=red", "'colour'; correct or drop that option"),
        ("CHORUS_REDIS_TIMEOUT_MS", "0", "greater than or equal to 1"),
        ("CHORUS_CANARY", "8", "give a version and its share"),
        ("CHORUS_CANARY", "8:0.6", "of 0.5 at most"),
        ("CHORUS_SHADOW", "8:1.1", "above 0 and at most 1"),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_by_name(monkeypatch, name, value, reason):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=reason) as error:
        Settings.load()
    assert str(error.value).startswith(f"{name}={value}: ")


def test_every_setting_is_explained_in_the_docs(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"`{PREFIX}{name.upper()}`" in page
        assert field.description


def test_pins_are_hashes_with_commas():
    one, other = "a" * 64, "0123456789abcdef" * 4
    assert Settings(bundle_sha256=f"{one},{other}").pins == (one, other)
    assert Settings().pins == ()
    with pytest.raises(SettingsError, match="CHORUS_BUNDLE_SHA256"):
        Settings.load(bundle_sha256=f"{one}, {other}")


@pytest.mark.parametrize("password", ["se@cret", "se/cret"])
def test_a_password_in_a_url_is_not_told(password):
    with pytest.raises(SettingsError, match="CHORUS_REDIS_URL=redis://host") as error:
        Settings.load(redis_url=f"redis://user:{password}@host/0?colour=red")
    assert "cret" not in str(error.value)


def test_the_url_of_redis_may_stand_in_a_file_and_is_not_told(tmp_path):
    path = tmp_path / "url"
    path.write_text("rediss://user:secret@host/0\n")
    assert Settings(redis_url=f"file://{path}").redis_url == "rediss://user:secret@host/0"
    path.write_text("user:secret@host")
    with pytest.raises(SettingsError, match="url: begin it with one of redis://") as error:
        Settings.load(redis_url=f"file://{path}")
    assert "secret" not in str(error.value)
    with pytest.raises(SettingsError, match="nothing: cannot be read: No such file"):
        Settings.load(redis_url=f"file://{tmp_path}/nothing")
