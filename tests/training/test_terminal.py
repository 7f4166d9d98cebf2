"""What is shown is whole, on a terminal of any width and where there is none."""

from io import StringIO

from rich.console import Console
from rich.table import Table

from training import report, terminal


def test_a_table_keeps_its_figures_on_a_narrow_terminal() -> None:
    table = Table("method", *(f"metric {number}" for number in range(9)))
    table.add_row("joint", *(f"0.123{number}" for number in range(9)))
    told = StringIO()
    terminal.show(table, Console(file=told, width=40))
    assert "…" not in told.getvalue()
    assert all(f"0.123{number}" in told.getvalue() for number in range(9))


def test_what_is_told_of_clicks_fits_eighty_letters() -> None:
    names = ("impression_auc", "user_auc", "mrr", "ndcg@5", "ndcg@10", "auc", "log_loss", "ece")
    values = {name: 0.5 + number / 1e4 for number, name in enumerate(names)}
    (table,) = report.rich({"tests": {"joint": {"click": values}, "category frequency": {"click": values}}})
    told = StringIO()
    terminal.show(table, Console(file=told, width=80))
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) == 80
    assert sum("0.5000" in line and "0.5007" in line for line in lines) == 2
