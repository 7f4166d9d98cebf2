from benchmarks.speed.profile import OTHER, parse, shares

LINES = [
    "serve (app/server.py:10);run (onnxruntime/capi/session.py:5) 6",
    "serve (app/server.py:10);top (model_store/fusion.py:3);sort (numpy/core.py:9) 3",
    "somewhere (else.py:1) 1",
]


def test_a_sample_goes_to_the_innermost_part_that_is_known():
    found = shares(parse(LINES))
    assert found["shares"] == {"heads": 0.6, "fusion and top k": 0.3, OTHER: 0.1}


def test_a_function_is_told_with_its_own_samples():
    assert shares(parse(LINES))["functions"]["sort (numpy/core.py)"] == 0.3
