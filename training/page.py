"""A Markdown file as one HTML file that stands by itself: its plots are in it, and it asks nobody for anything."""

from base64 import b64encode
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


def page(title: str, markdown: str, folder: Path) -> str:
    """The HTML; pictures are read from the folder that the Markdown would lie in. Raw HTML in it is shown as text."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(markdown)
    for token in [child for each in tokens for child in each.children or ()]:
        if token.type == "image":
            token.attrs["src"] = _inlined(folder / str(token.attrs["src"]))
    body = reader.renderer.render(tokens, reader.options, {})
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _inlined(picture: Path) -> str:
    """An SVG file as a data URL."""
    return f"data:image/svg+xml;base64,{b64encode(picture.read_bytes()).decode()}"
