"""Docstrings as the site shows them: the reStructuredText that numpydoc allows, said in Markdown."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")
RULED_TABLE = re.compile(r"(?:^(?=={3,})(?:.+\n)+?={3,}[= ]*\n(?:.+\n)+?={3,}[= ]*$)", re.M)


class PlainText(griffe.Extension):
    """Rewrite roles, literal blocks and ruled tables of every docstring before it is parsed."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """``text`` with Markdown where it had reStructuredText."""
    text = ROLE.sub(r"`\1`", text)
    text = text.replace("``", "`")
    text = RULED_TABLE.sub(lambda table: "    " + table[0].replace("\n", "\n    "), text)
    return re.sub(r"::\n\n(?= {4})", ":\n\n", text)
