"""The documentation as a site: `pip install ".[docs]" && python -m sphinx -W docs site`, then open site/index.html."""

import re
from typing import Any

from gatys_lab import __version__

project, author = "gatys_lab", "the gatys_lab authors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
html_theme, html_title = "furo", f"gatys_lab {__version__}"
myst_heading_anchors = 3
default_role = "code"  # docstrings have `names` as Markdown has them
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
smartquotes = False  # --option is no dash
nitpicky = False  # types of other libraries are not looked up: the site is built without the internet


def as_rst(app: object, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with `names`, tables and indented lines as Markdown has them."""
    paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip("\n"))
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).split("\n")


def _paragraph(text: str) -> str:
    if text.lstrip().startswith(">>>"):
        return text
    shown = [line.startswith(("    ", "|")) for line in text.split("\n")]
    if all(shown):
        return "::\n\n" + "\n".join(f"    {line}" for line in text.split("\n"))
    parts = text.split("`")  # every other one is code
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def with_cards(app: object, name: str, source: list[str]) -> None:
    """Model cards lie beside the weights; here they are a page."""
    here = "../" * name.count("/")
    source[0] = re.sub(
        r"\]\((?:\.\./)+gatys_lab/(?:networks|models)/([\w-]+)\.md\)", rf"]({here}reference/models.md#\1)", source[0]
    )


def setup(app: Any) -> None:
    app.connect("source-read", with_cards)
    app.connect("autodoc-process-docstring", as_rst)
