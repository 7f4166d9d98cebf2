"""What is shown is whole, on a terminal of any width and where there is none."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from training import report, terminal
from training.errors import DataError


def test_a_table_keeps_its_figures_on_a_narrow_terminal() -> None:
    table = Table("method", *(f"metric {number}" for number in range(9)))
    table.add_row("joint", *(f"0.123{number}" for number in range(9)))
    told = StringIO()
    terminal.show(table, Console(file=told, width=40))
    assert "…" not in told.getvalue()
    assert all(f"0.123{number}" in told.getvalue() for number in range(9))


@pytest.mark.parametrize(
    "written", ["[fusion] and [a-z0-9]", "row 3 ('[/b] mug')", "[red]['x']", ":smile: 1:2:3"]
)
def test_errors_are_told_as_they_are(written: str, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(terminal.console, "_width", 200)
    with pytest.raises(SystemExit) as ended, terminal.plainly():
        raise DataError(written)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {written}\n"


def test_what_is_told_of_clicks_fits_eighty_letters() -> None:
    names = ("impression_auc", "user_auc", "mrr", "ndcg@5", "ndcg@10", "auc", "log_loss", "ece")
    values = {name: 0.5 + number / 1e4 for number, name in enumerate(names)}
    (table,) = report.rich({"tests": {"joint": {"click": values}, "category frequency": {"click": values}}})
    told = StringIO()
    terminal.show(table, Console(file=told, width=80))
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) == 80
    assert sum("0.5000" in line and "0.5007" in line for line in lines) == 2
