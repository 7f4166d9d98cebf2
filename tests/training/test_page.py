from base64 import b64decode
from html.parser import HTMLParser

from training.page import page

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><text>ä</text></svg>'
TEXT = """# shop & more

| task | AUC ↑ |
| --- | --- |
| click | 0.8 |

![How it learned](learning.svg)

<script>x</script>
"""


class Read(HTMLParser):
    """Tags, in order, and where they point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_a_page_is_one_file_with_its_plots_in_it(tmp_path):
    (tmp_path / "learning.svg").write_text(SVG, encoding="utf-8")
    found = Read(page("shop", TEXT, tmp_path))
    [source] = found.sources
    kind, _, content = source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b64decode(content).decode() == SVG
    assert found.tags.count("table") == 1


def test_text_that_looks_like_html_is_shown_as_text(tmp_path):
    (tmp_path / "learning.svg").write_text(SVG, encoding="utf-8")
    written = page("<b>shop</b>", TEXT, tmp_path)
    assert "script" not in Read(written).tags
    assert "<title>&lt;b&gt;shop&lt;/b&gt;</title>" in written
    assert "<h1>shop &amp; more</h1>" in written
