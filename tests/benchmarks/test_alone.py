import json
import sys

import psutil
import pytest

from benchmarks.chaos.alone import bounded
from benchmarks.speed.process import running
from tests.live import eventually

CHILD = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
{ending}
"""


def end(code, folder, seconds=20.0):
    return bounded([sys.executable, "-c", code, str(folder / "pid")], seconds=seconds, log=folder / "log")


def test_one_that_ends_well_has_no_reason_and_keeps_what_it_said(tmp_path):
    assert end("print('so far so good')", tmp_path) == ""
    assert (tmp_path / "log").read_text() == "so far so good\n"


def test_one_that_fails_is_told_by_the_last_line_that_it_said(tmp_path):
    assert end("raise SystemExit('the service did not heal')", tmp_path) == "the service did not heal"


def test_one_that_hangs_is_ended_and_told_by_its_time(tmp_path):
    assert end("import time; time.sleep(60)", tmp_path, seconds=0.3) == "not done after 0 s"


@pytest.mark.parametrize("ending", ["", "raise SystemExit('no')", "import time; time.sleep(60)"])
def test_whatever_becomes_of_it_nothing_that_it_started_is_left(tmp_path, ending):
    end(CHILD.format(ending=ending), tmp_path, seconds=2.0)
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_server_that_a_drill_starts_carries_the_drill_s_mark(tmp_path, monkeypatch):
    monkeypatch.setenv("DRILL_MARK", "this one")
    code = "import json, os; print(json.dumps(os.environ.get('DRILL_MARK')))"
    with running("server", [sys.executable, "-c", code], env={}, cores=[0], folder=tmp_path) as process:
        process.popen.wait(20)
        assert json.loads(process.told()) == "this one"
