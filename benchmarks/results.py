"""All that was measured, in one table: python benchmarks/results.py

Reads the JSON that each script left beside itself and writes RESULTS.md: command, commit, device, and the numbers that
stand at its top. What they mean is in README.md.
"""

from __future__ import annotations

import json
from pathlib import Path

from common import options

from ecgutils.files import write_bytes

HERE = Path(__file__).parent
HEAD = """# All results

Written by `python benchmarks/results.py` from the JSON files beside it, which hold more; what the numbers mean is in
[README.md](README.md). `cpu`: shared machines with two cores, whose speed varies; compare within a file.

| script | measured on | commit | command | numbers |
|---|---|---|---|---|
"""


def numbers(found: dict) -> str:
    """What stands at the top of a result as a number, and the macro-AUROC of its arms."""
    flat = [f"{key} {value:g}" for key, value in found.items() if isinstance(value, int | float)]
    rows = [row for value in found.values() if isinstance(value, list) for row in value if isinstance(row, dict)]
    flat += [f"{row['arm']} {row['macro_value']:.3f}" for row in rows if {"arm", "macro_value"} <= row.keys()]
    return "; ".join(flat[:12])


def table(folder: Path = HERE) -> str:
    """The whole page."""
    lines = []
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        about = [found.get(key, "not recorded") for key in ("device", "commit")]
        command = found.get("command", "not recorded")
        lines.append(f"| [{path.stem}]({path.name}) | {' | '.join(about)} | `{command}` | {numbers(found)} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    options(__doc__).parse_args()
    write_bytes(HERE / "RESULTS.md", table().encode())


if __name__ == "__main__":
    main()
