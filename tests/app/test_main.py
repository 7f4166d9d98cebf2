import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/recommend", "POST"),
        ("/v1/recommend", "POST"),
        ("/items/x", "DELETE, GET, HEAD"),
        ("/v1/items/x/y", "DELETE, GET, HEAD"),
        ("/items/delete", "DELETE, GET, HEAD, POST"),
        ("/items", "PUT"),
        ("/health", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_taken_names_all_that_are(client, path, methods):
    answer = client.patch(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


def test_each_post_has_its_versioned_alias(client):
    for path in ("/recommend", "/recommend/batch", "/score", "/events"):
        assert client.post(f"/v1{path}", content=b"{").status_code == 422
