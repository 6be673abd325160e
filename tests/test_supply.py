"""`make sbom` and `make audit`: what the package stands on, and what is known against it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from .conftest import ROOT

specification = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
supply = importlib.util.module_from_spec(specification)
specification.loader.exec_module(supply)


@pytest.mark.skipif(not importlib.util.find_spec("cyclonedx_py"), reason="pip install -r requirements-audit.txt")
def test_the_list_of_packages_has_licences_no_test_tools_and_names_the_gpl(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(supply, "SBOM", str(tmp_path / "sbom.json"))
    assert supply.sbom() == 0
    bom = json.loads((tmp_path / "sbom.json").read_text())
    parts = {part["name"]: part for part in bom["components"]}
    assert bom["bomFormat"] == "CycloneDX"
    assert parts["torch"]["version"]
    assert parts["torch"]["licenses"]
    assert "filelock" in parts  # which only torch needs
    assert not {"pytest", "hypothesis", "ruff", "cyclonedx-bom"} & set(parts)
    refs = {part["bom-ref"] for part in parts.values()}
    assert all({entry["ref"], *entry["dependsOn"]} <= refs for entry in bom["dependencies"])
    told = capsys.readouterr().out
    if importlib.util.find_spec("pillow_heif"):
        assert "x265: GPLv2" in told
    assert "\n  torch " not in told


@pytest.mark.skipif(not importlib.util.find_spec("pip_audit"), reason="pip install -r requirements-audit.txt")
def test_an_audit_without_a_network_says_so_in_one_sentence():
    nowhere = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    command = [sys.executable, str(ROOT / ".ci" / "supply.py"), "audit"]
    done = subprocess.run(command, env=os.environ | nowhere, text=True, capture_output=True, timeout=500)
    assert done.returncode == 2
    (said,) = done.stderr.strip().splitlines()
    assert said.startswith("audit: pip-audit can't tell (")
    assert said.endswith("repeat it where its data can be reached.")


def test_an_audit_counts_what_is_known(monkeypatch, capsys):
    known = {"id": "CVE-0", "fix_versions": ["2"]}
    answer = {
        "dependencies": [{"name": "a", "version": "1", "vulns": [known]}, {"name": "b", "version": "1", "vulns": []}]
    }
    told = subprocess.CompletedProcess([], 1, stdout=json.dumps(answer), stderr="")
    monkeypatch.setattr(supply.subprocess, "run", lambda *_, **_how: told)
    assert supply.audit() == 1
    assert capsys.readouterr().out == "a 1: CVE-0, mended in 2\n2 pins, 1 known vulnerabilities\n"
