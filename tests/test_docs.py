"""The documentation site: what it shows is there, what it says of reasons is so, and it builds."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ecgutils.preprocess import REASONS
from ecgutils.synth import EFFECTS, SOURCES

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import gallery
import hooks

CONFIGURATION = (ROOT / "mkdocs.yml").read_text()
OWN_PAGES = (*hooks.PAGES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")))
MADE = {"LICENSE.md": "LICENSE", "docs/gallery.md": "docs/gallery.py"}  # from what
BUILDS = all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings"))


def anchors(page):
    """Of a page's headings, as GitHub and the site make them: small letters, hyphens for spaces, no other marks."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_of_the_navigation_has_a_file():
    nav = CONFIGURATION.split("\nnav:\n")[1].split("\nnot_in_nav")[0]
    pages = re.findall(r"(\S+\.md)$", nav, flags=re.MULTILINE)
    assert len(pages) > 10
    assert [page for page in pages if not (ROOT / MADE.get(page, page)).is_file()] == []
    cards = {f"ecgutils/weights/simulated/{name}/README.md" for name in ("default", "fine")}
    assert set(hooks.PAGES) - set(pages) == cards


def test_every_package_has_an_api_page():
    assert {"findings", "preprocess", "learn", "app", "export"} <= set(hooks.API)
    assert not {"tests", "weights", "__init__", "__main__"} & set(hooks.API)


@pytest.mark.parametrize("page", OWN_PAGES)
def test_links_inside_the_repository_lead_somewhere(page):
    for path, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", (ROOT / page).read_text()):
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


@pytest.mark.parametrize("page", OWN_PAGES)
def test_lists_are_written_as_the_site_needs_them(page):
    """Blocks of an item are indented by four, and what comes after a block or a paragraph is parted from it."""
    text = (ROOT / page).read_text()
    assert re.findall(r"\n\n {1,3}\S.*", text) == []
    assert re.findall(r"\n(?:    \S|[^\s-]).*\n- .*", text) == []


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("README.md", "notebooks/01_a.ipynb", "notebooks/01_a.md"),
        ("README.md", "LICENSE", "LICENSE.md"),
        ("README.md", "data/README.md#ptb-xl", "data/README.md#ptb-xl"),
        ("README.md", "ecgutils/profiles.py", "docs/api/profiles.md"),
        ("docs/a.md", "../ecgutils/synth/page.py", "api/synth.md"),
        ("data/README.md", "https://x.org/a.py", "https://x.org/a.py"),
        ("data/README.md", "#genecg", "#genecg"),
    ],
)
def test_links_lead_to_what_the_site_has(page, link, expected):
    assert hooks.site_links(f"see [it]({link}).", page) == f"see [it]({expected})."


def test_every_source_effect_and_reason_has_its_words_or_an_example():
    assert set(gallery.SOURCE_WORDS) == set(SOURCES)
    assert set(gallery.EFFECT_WORDS) == set(EFFECTS)
    assert set(gallery.DETAIL) <= set(EFFECTS)
    assert sorted([*gallery.EXAMPLES, *gallery.NOT_DRAWN]) == sorted(REASONS)


@pytest.mark.parametrize("code", ["empty_file", "password", "too_small", "mirrored", "grid_not_found"])
def test_an_example_is_read_and_gets_its_reason(code):
    flat, picture = gallery.read_example(code)
    assert code in flat.reasons
    assert (picture is None) == (code in ("empty_file", "password"))


def test_an_example_without_its_reason_stops_the_gallery(monkeypatch):
    monkeypatch.setitem(gallery.EXAMPLES, "glare", gallery.Example("A page.", lambda at: gallery.page().image))
    with pytest.raises(AssertionError, match=r"glare: its example got \(\)"):
        gallery.read_example("glare")


@pytest.mark.skipif(importlib.util.find_spec("griffe") is None, reason="griffe, of requirements-docs.txt, is not there")
def test_docstrings_become_lists_columns_and_plain_text():
    from docstrings import as_markdown

    text = "Mean of *both*, <k>.\n\nx, y : points\n    (N, 2).\nReturns `a*b`.\n\na.py    this\nb.py    that"
    assert as_markdown(text).split("\n\n") == [
        r"Mean of \*both\*, &lt;k>.",
        "- `x, y`: points\n    (N, 2).",
        "Returns `a*b`.",
        "```text\na.py    this\nb.py    that\n```",
    ]


def test_a_small_gallery_shows_the_first_of_each_kind_and_names_all():
    page, files = gallery.gallery(1)
    assert (
        sorted(re.findall(r"\]\(gallery/(.+)\)", page)) == sorted(files) == ["effect-framing.jpg", "source-vector.jpg"]
    )
    assert all(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape[1] == gallery.WIDTH for jpeg in files.values())
    named = re.findall(r"\{#(?:source|effect|reason)-(\w+)\}", page)
    assert named == [*SOURCES, *EFFECTS, *REASONS]


@pytest.mark.skipif(not BUILDS, reason="mkdocs and its theme are not installed: pip install -r requirements-docs.txt")
def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    environment = {**os.environ, hooks.PICTURES: "0", "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    html = {path.relative_to(tmp_path / "site").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=.?https?:|<link[^>]+(?:stylesheet|preconnect)[^>]+https?:")
    assert [path for path, text in html.items() if loaded.search(text)] == []
    assert "build_cache" in html["docs/api/preprocess/index.html"]
    assert "reason-too_dark" in html["docs/gallery/index.html"]
