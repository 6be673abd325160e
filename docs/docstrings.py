"""Docstrings as Markdown for the API pages: they are written to be read as plain text."""

from __future__ import annotations

import re

import griffe

_ITEM = re.compile(r"([\w*]+(?:, [\w*]+)*) : (.*)")


class Docstrings(griffe.Extension):
    """Griffe calls `on_object` for all that it finds."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring's plain text as Markdown: columns stay columns, `name : what it is` becomes a list."""
    return "\n\n".join(_block(block) for block in re.split(r"\n\s*\n", text.strip("\n")))


def _block(block: str) -> str:
    lines = block.splitlines()
    if all(re.search(r"\S {3,}\S", line) or line.startswith("    ") for line in lines):
        return "\n".join(["```text", *(line.removeprefix("    ") for line in lines), "```"])
    if len(lines) > 1 and re.fullmatch(r"-{3,}", lines[1].strip()):
        return f"**{lines[0].strip()}**\n\n{_block(chr(10).join(lines[2:]))}" if lines[2:] else f"**{lines[0]}**"
    parts: list[str] = []
    in_list = False
    for line in lines:
        if item := _ITEM.fullmatch(line):
            parts.append(f"{'' if in_list else chr(10)}- `{item[1]}`: {_escaped(item[2])}")
            in_list = True
        elif in_list and line.startswith(("Returns", "Raises")):
            parts.append(f"\n{_escaped(line)}")
            in_list = False
        else:
            parts.append("    " * in_list + _escaped(line.strip()))
    return "\n".join(parts).strip("\n")


def _escaped(line: str) -> str:
    """Characters that Markdown or HTML would take for their own, but in `code`."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*\[\]])", r"\\\1", part.replace("<", "&lt;")) for part in parts[::2]]
    return "`".join(parts)
