import io
import math

from rich.console import Console

from training import report
from training.run import Run

RECORD = {
    "tests": {
        "random": {"click": {"auc": 0.5, "impression_auc": 0.49}},
        "joint": {
            "click": {"auc": 0.81234, "impression_auc": 0.7, "log_loss": 0.3, "impressions": 12},
            "dwell": {"rmse": 2.0, "spearman": math.nan},
            "range": {"pinball": 5.0, "coverage_error": 0.1, "coverage@0.1": 0.2, "log_pinball": 0.4},
        },
        "alone": {"click": {"auc": 0.8, "impression_auc": 0.69, "log_loss": 0.31}},
        "mean": {"dwell": {"rmse": 3.0}},
    },
    "retrieval": {"recall@10": 0.25},
    "gates": {"click": {"experts": [0.25, 0.75, 0.0], "entropy": 0.8113}},
    "data": {"items": 1200, "users": 7, "history_events": 3, "requests": {"train": 10, "test": 2}},
}


def test_the_joint_model_is_first_then_each_task_alone_then_the_baselines():
    rows = {task: [row[0] for row in rows] for task, _, rows in report.tables(RECORD)}
    assert rows == {"click": ["joint", "alone", "random"], "dwell": ["joint", "mean"], "range": ["joint"]}


def test_the_columns_are_the_metrics_of_the_joint_model_that_people_read():
    columns = {task: columns for task, columns, _ in report.tables(RECORD)}
    assert columns == {"click": ["impression_auc", "auc", "log_loss"], "dwell": ["rmse", "spearman"],
                       "range": ["log_pinball", "pinball", "coverage_error", "coverage@0.1"]}  # fmt: skip


def test_what_a_method_does_not_have_and_what_is_undefined_are_empty_cells():
    rows = {row[0]: row[1:] for task, _, found in report.tables(RECORD) for row in found if task == "click"}
    assert rows["random"] == ["0.4900", "0.5000", ""]
    assert next(report.tables(RECORD))[2][0] == ["joint", "0.7000", "0.8123", "0.3000"]
    assert list(report.tables(RECORD))[1][2] == [["joint", "2.0000", ""], ["mean", "3.0000", ""]]


def test_an_arrow_says_which_way_is_better():
    text = report.markdown("shop", RECORD)
    for arrow in ("AUC ↑", "log loss ↓", "RMSE ↓", "Spearman ↑", "pinball ↓"):
        assert arrow in text


def test_a_coverage_has_no_arrow_as_it_should_be_what_it_is_named():
    assert "| coverage error ↓ | coverage@0.1 |" in report.markdown("shop", RECORD)


def test_the_markdown_has_a_table_a_task_of_as_many_cells_in_every_row():
    text = report.markdown("shop", RECORD)
    assert text.startswith("# shop: test part\n")
    assert "1,200 items, 7 users, 3 history events, train 10 requests, test 2 requests" in text
    assert "recall@10 0.2500" in text
    for section in text.split("\n## ")[1:3]:
        assert len({line.count("|") for line in section.splitlines() if line.startswith("|")}) == 1


def test_without_retrieval_there_is_no_such_section():
    assert "Retrieval" not in report.markdown("shop", {**RECORD, "retrieval": {}})


def test_the_terminal_shows_the_same_cells():
    console = Console(width=120, record=True, file=io.StringIO())
    for table in report.rich(RECORD):
        console.print(table)
    text = console.export_text()
    for _, _, rows in report.tables(RECORD):
        assert all(cell in text for row in rows for cell in row)


def test_gates_are_told_by_task_and_expert():
    text = report.markdown("shop", RECORD)
    assert "| task | expert 1 | expert 2 | expert 3 | entropy |" in text
    assert "| click | 0.250 | 0.750 | 0.000 | 0.811 |" in text
    assert "gates" not in report.markdown("shop", {**RECORD, "gates": {}})


def test_a_fusion_that_was_found_is_told_with_all_that_was_tried():
    weights = {"click": 1.0, "dwell": 0.25}
    better = {"method": "weighted_product", "validation": 0.5, "unseen": 0.45, "test": 0.4}
    equal = {"method": "weighted_sum", "validation": 0.45, "unseen": 0.44, "test": math.nan}
    fusions = {"stacking": {**better, "weights": weights}, "equal weights": {**equal, "weights": weights}}
    gains = {"click:mrr": {"mean": 0.01, "half": 0.002, "units": 1200}}
    found = {"goal": {"click:mrr": 1.0}, "chosen": "stacking", "fusions": fusions, "gains": gains}
    text = report.markdown("shop", {**RECORD, "fusion": found})
    assert "| **stacking** | weighted_product: click 1, dwell 0.25 | 0.5000 | 0.4500 | 0.4000 |" in text
    assert "| equal weights | weighted_sum: click 1, dwell 0.25 | 0.4500 | 0.4400 |  |" in text
    assert "- click:mrr on the test part, over equal weights: +0.0100 ± 0.0020 (95 %, 1,200 units)" in text
    assert "## Fusion" not in report.markdown("shop", RECORD)


def test_what_training_together_is_worth_is_told_with_the_sign_of_better():
    record = {**RECORD, "headlines": {"click": "impression_auc", "dwell": "rmse"}}
    text = report.markdown("shop", record)
    assert "| click | imp. AUC ↑ | 0.7000 | 0.6900 | +0.0100 | +1.45 |" in text
    assert "Δm +1.45 % (one run)" in text
    assert "Worth" not in report.markdown("shop", RECORD)


def test_the_plots_of_a_run_stand_below_its_tables(tmp_path):
    for epoch in (1, 2):
        told = {"losses": {"click": 1.0 / epoch}, "weights": {"click": 1.0}, "decides": 1.0 / epoch}
        Run(tmp_path).log({"epoch": epoch, **told})
    bins = {"said": [0.1, 0.5], "seen": [0.2, 0.4], "rows": [5, 5]}
    headlines = {"click": "impression_auc"}
    report.write(tmp_path, "shop", {**RECORD, "headlines": headlines, "reliability": {"click": bins}})
    text = (tmp_path / "report.md").read_text()
    for name, heading in report.PLOTS.items():
        assert f"## {heading}\n\n![{heading}]({name}.svg)" in text
        assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")
    assert (tmp_path / "report.html").read_text().count("data:image/svg+xml") == len(report.PLOTS)


def test_a_report_ends_with_the_configuration(tmp_path):
    (tmp_path / "config.toml").write_text('name = "shop"\n')
    report.write(tmp_path, "shop", {**RECORD, "gates": {}})
    assert (tmp_path / "report.md").read_text().endswith('## Configuration\n\n```toml\nname = "shop"\n```\n')
    assert (
        '<pre><code class="language-toml">name = &quot;shop&quot;' in (tmp_path / "report.html").read_text()
    )


def test_slices_are_told_joint_beside_alone():
    cold = {"rows": 1200, "metric": "impression_auc", "value": 0.61}
    found = {
        "joint": {"click": {"cold users": cold}},
        "alone": {"click": {"cold users": {**cold, "value": math.nan}}},
    }
    text = report.markdown("shop", {**RECORD, "slices": found})
    assert "| task | slice | rows | metric | joint | alone |" in text
    assert "| click | cold users | 1,200 | imp. AUC ↑ | 0.6100 |  |" in text


def test_costs_are_told_of_the_joint_model_and_of_all_tasks_alone():
    one = {"epochs": 2, "seconds": 60.0, "cpu": 90.0, "learned": 1000, "parameters": 5000}
    text = report.markdown(
        "shop", {**RECORD, "costs": {"joint": one, "click alone": one, "dwell alone": one}}
    )
    assert "| joint | 2 | 60.0 | 90.0 | 1,000 | 5,000 |" in text
    assert "| all alone | 4 | 120.0 | 180.0 | 2,000 | 10,000 |" in text
    assert "all alone" not in report.markdown("shop", {**RECORD, "costs": {"joint": one}})
    assert "teachers" not in text
    taught = report.markdown("shop", {**RECORD, "costs": {"joint": one}, "taught": ["click", "dwell"]})
    assert "teachers were trained before it, and count as alone: click, dwell." in taught
