"""What the package stands on: `audit` asks for known vulnerabilities of pins, `sbom` lists packages and licences."""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RUN_TIME = ("requirements.txt", "requirements-app.txt", "requirements-onnx.txt")
SBOM = "sbom.json"
_GPL = re.compile(r"GPL|General Public License")


def audit() -> int:
    """Print what pip-audit knows of every pin; 1 where it knows a vulnerability, 2, and why, where it can't tell."""
    pins = [part for path in sorted(ROOT.glob("requirements*.txt")) for part in ("-r", str(path))]
    how = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *how, *pins], text=True, capture_output=True)
    try:
        found = {entry["name"]: entry for entry in json.loads(done.stdout)["dependencies"]}
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1].split(": ")[0]
        print(f"audit: pip-audit can't tell ({why}): repeat it where its data can be reached.", file=sys.stderr)
        return 2
    bad = [(entry, known) for entry in found.values() for known in entry.get("vulns", ())]
    for entry, known in bad:
        mended = ", ".join(known["fix_versions"]) or "no version"
        print(f"{entry['name']} {entry['version']}: {known['id']}, mended in {mended}")
    print(f"{len(found)} pins, {len(bad)} known vulnerabilities")
    return 1 if bad else 0


def sbom() -> int:
    """Write SBOM, CycloneDX JSON of all installed run-time packages, and print those with parts under a GPL."""
    how = ["environment", "--output-reproducible", "--no-validate", sys.executable]
    made = subprocess.run([sys.executable, "-m", "cyclonedx_py", *how], text=True, capture_output=True)
    if made.returncode:
        print(f"sbom: cyclonedx-py failed: {made.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    bom = run_time(json.loads(made.stdout))
    (ROOT / SBOM).write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{len(bom['components'])} run-time packages in {SBOM}; under a GPL, in whole or in part:")
    for component in bom["components"]:
        if parts := [*gpl_declared(component), *gpl_inside(component["name"])]:
            print(f"  {component['name']} {component['version']}: {'; '.join(dict.fromkeys(parts))}")
    return 0


def run_time(bom: dict[str, Any]) -> dict[str, Any]:
    """The same of what RUN_TIME pins and of all that this needs, not of what tests need."""
    names = needed()
    kept = [part for part in bom["components"] if plain(part["name"]) in names]
    refs = {part["bom-ref"] for part in kept}
    needs = [{**e, "dependsOn": [r for r in e.get("dependsOn", []) if r in refs]} for e in bom["dependencies"]]
    return bom | {"components": kept, "dependencies": [entry for entry in needs if entry["ref"] in refs]}


def needed() -> set[str]:
    """Names of installed packages: what RUN_TIME pins, and what these need with the extras they are asked for with."""
    lines = [line.split("#")[0].strip() for name in RUN_TIME for line in (ROOT / name).read_text().splitlines()]
    todo = [Requirement(line) for line in lines if "==" in line]
    seen = {("ecgutils", frozenset({""}))}  # whose own needs are these lines
    while todo:
        wanted = todo.pop()
        known = plain(wanted.name), frozenset({"", *wanted.extras})
        with suppress(importlib.metadata.PackageNotFoundError):
            if known not in seen:
                needs = map(Requirement, importlib.metadata.requires(wanted.name) or ())
                todo += [need for need in needs if not need.marker or any(map(need.marker.evaluate, _extras(known[1])))]
                seen.add(known)
    return {name for name, _ in seen}


def _extras(names: frozenset[str]) -> list[dict[str, str]]:
    return [{"extra": name} for name in names]


def plain(name: str) -> str:
    """A package's name as all spellings of it have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower().strip()


def gpl_declared(component: dict[str, Any]) -> Iterator[str]:
    """Licences of the GPL's family that a package says it has."""
    for licence in component.get("licenses", []):
        known = licence.get("license", {})
        name = licence.get("expression") or known.get("id") or known.get("name", "")
        if _GPL.search(name):
            yield name.removeprefix("License :: OSI Approved :: ")


def gpl_inside(name: str) -> list[str]:
    """Parts that a wheel carries, "x265: GPLv2", by what its licence files call each, and its licence or its text."""
    found: dict[str, str] = {}
    for file in importlib.metadata.distribution(name).files or ():
        if not re.search("licen[cs]e|copying", file.name, re.IGNORECASE) or ".dist-info" not in str(file):
            continue
        part = file.name
        for line in file.locate().read_text(errors="replace").splitlines():
            if named := re.match(r"\s*Name: *(.+)|(\S+) is redistributed", line):
                part = named[1] or named[2]
            elif (said := re.match(r"\s*License: *(.+)|\s*(GNU .*GENERAL PUBLIC LICENSE)$", line)) and (
                said[2] or _GPL.search(said[1])
            ):
                found.setdefault(part, said[1] or said[2])
    return [f"{part}: {licence}" for part, licence in found.items()]


if __name__ == "__main__":
    sys.exit({"audit": audit, "sbom": sbom}[sys.argv[1]]())
