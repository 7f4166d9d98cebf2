import subprocess
import sys

from app.main import create_app
from app.settings import Settings


def test_an_app_opens_nothing_until_it_starts(tmp_path):
    create_app(Settings(store=tmp_path / "no such shelf", redis_url="redis://nowhere.invalid:1"))


def test_the_service_needs_neither_training_nor_torch():
    unwanted = ("torch", "transformers", "training", "polars", "onnx")
    code = f"import sys, app.cli; print([name for name in {unwanted} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_path_that_is_not_there_is_told_so(client):
    answer = client.get("/nothing")
    assert (answer.status_code, answer.json()["error_type"]) == (404, "not_found")
    assert "see /docs" in answer.json()["error"]


def test_a_method_that_is_not_taken_names_the_ones_that_are(client):
    answer = client.get("/recommend")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


def test_each_post_has_its_versioned_alias(client):
    for path in ("/recommend", "/recommend/batch", "/score", "/events"):
        assert client.post(f"/v1{path}", content=b"{").status_code == 422
