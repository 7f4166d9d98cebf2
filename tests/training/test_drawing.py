from training.drawing import drawn


def test_a_figure_is_written_as_text_when_it_is_done(tmp_path):
    with drawn(tmp_path / "one.svg", width=3.0, height=2.0) as figure:
        figure.subplots().set_title("costs $5")
        assert not (tmp_path / "one.svg").exists()
    assert "costs $5" in (tmp_path / "one.svg").read_text()
