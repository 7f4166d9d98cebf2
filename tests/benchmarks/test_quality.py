import subprocess
import sys

import pytest

from benchmarks.quality import joint
from benchmarks.quality.__main__ import run


def test_a_table_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(SystemExit, match=f"^nothing: choose one of .*{min(joint.PROTOCOLS)}"):
        run("nothing", [])


def test_a_data_set_of_the_shipped_configurations_is_a_table():
    asked = [sys.executable, "-m", "benchmarks.quality", "ebnerd", "--help"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True)
    assert "--no-alone" in found.stdout
