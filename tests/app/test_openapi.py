import pytest

from app.api import batch, events, info, recommend, score
from app.api.schema import ErrorBody
from app.errors import Gone, ServiceError

POSTS = {"/recommend": recommend, "/recommend/batch": batch, "/score": score, "/events": events}


@pytest.fixture(scope="session")
def document(client):
    return client.get("/openapi.json").json()


@pytest.mark.parametrize("path", POSTS)
def test_the_example_of_a_request_is_one_that_is_answered(client, document, path):
    example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    answer = client.post(path, json=example)
    assert answer.status_code == 200
    model = {
        recommend: recommend.RecommendAnswer,
        batch: batch.BatchAnswer,
        score: score.ScoreAnswer,
        events: events.EventsAnswer,
    }[POSTS[path]]
    model.model_validate(answer.json())


@pytest.mark.parametrize("path", POSTS)
def test_the_example_of_an_answer_is_one(document, path):
    content = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
    module = POSTS[path]
    model = {
        recommend: recommend.RecommendAnswer,
        batch: batch.BatchAnswer,
        score: score.ScoreAnswer,
        events: events.EventsAnswer,
    }[module]
    model.model_validate(content["example"])


def test_every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    schemas = document["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)


def test_every_field_that_a_request_has_is_in_the_document(document):
    fields = document["components"]["schemas"]["RecommendRequest"]["properties"]
    assert {"user_id", "history", "query", "candidates", "fusion", "filters", "context"} <= set(fields)


def test_errors_are_documented_as_they_are(client, document):
    assert set(document["paths"]["/recommend"]["post"]["responses"]) == {
        "200", "401", "403", "413", "415", "422", "429", "503", "504",
    }  # fmt: skip
    ErrorBody.model_validate(client.post("/recommend", json={}).json())


def test_every_kind_of_error_is_named_and_none_has_another_form(document):
    named = document["components"]["schemas"]["ErrorBody"]["properties"]["error_type"]["description"]
    kinds = {error.type for error in ServiceError.__subclasses__()} - {Gone.type}
    assert set(named.split(", ")) == kinds
    assert "HTTPValidationError" not in str(document)


def test_answers_of_the_gets_are_as_documented(client):
    info.Info.model_validate(client.get("/info").json())


def test_aliases_are_not_in_the_document(document):
    assert not [path for path in document["paths"] if path.startswith("/v1") or path == "/livez"]


@pytest.mark.parametrize(
    ("path", "method", "field"),
    [("/recommend/batch", "post", "requests"), ("/events", "post", "events"), ("/items", "put", "items")],
)
def test_a_list_that_must_not_be_empty_says_so(client, document, path, method, field):
    body = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    told = document["components"]["schemas"][body.rpartition("/")[2]]["properties"][field]
    assert told["minItems"] == 1
    assert client.request(method, path, json={field: []}).status_code == 422


def test_each_operation_says_which_scope_its_key_needs(document):
    def scopes(path, method):
        return [next(iter(way.values())) for way in document["paths"][path][method].get("security", [])]

    assert scopes("/score", "post") == [["recommend"], ["recommend"]]
    assert scopes("/items/{item_id}", "delete") == [["items"], ["items"]]
    assert scopes("/info", "get") == [[], []]
    assert scopes("/health/ready", "get") == []
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
