"""What MkDocs is told besides mkdocs.yml: the repository's own pages, the gallery, the notebooks, the API.

Every page has the path that it has in the repository, so that links between them work in the site and on GitHub alike.
MkDocs is imported where it is needed, because the tests of this list run without it.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gallery import gallery

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PICTURES = "GALLERY_PICTURES"  # this variable of the environment: draw so many pictures of each kind, for tests
PAGES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "benchmarks/README.md"),
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "ecgutils/weights").rglob("README.md"))),
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
API = sorted(
    path.stem
    for path in (ROOT / "ecgutils").glob("[a-z]*")
    if path.suffix == ".py" or ((path / "__init__.py").is_file() and path.name != "tests")
)


def page_of(path: str) -> str:
    """The page of the site that shows a file of the repository; most are shown as they are."""
    if path.endswith(".ipynb"):
        return path.removesuffix(".ipynb") + ".md"
    if match := re.fullmatch(r"ecgutils/(\w+)(?:/.*)?\.py", path):
        return f"docs/api/{match[1]}.md"
    return "LICENSE.md" if path == "LICENSE" else path


def site_links(markdown: str, page: str) -> str:
    """Links of a page, as they are on GitHub, to where the site has what they lead to."""
    here = posixpath.dirname(page) or "."

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, match[1]))
        return match[0] if page_of(path) == path else f"]({posixpath.relpath(page_of(path), here)}{match[2]})"

    return re.sub(r"\]\(([^):#\s]+)(#[^)\s]*|)\)", replace, markdown)


def api_page(package: str) -> str:
    """What a package gives to others, then its modules with all that is public in them."""
    path = ROOT / "ecgutils" / package / "__init__.py"
    body = ast.parse(path.read_text()).body if path.exists() else []
    given = [f"`{alias.name}`" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    imports = f"Import from `ecgutils.{package}`: {', '.join(given)}.\n\n" if given else ""
    return f"# ecgutils.{package}\n\n{imports}::: ecgutils.{package}\n"


def made() -> Iterator[tuple[str, str | bytes]]:
    """Path and content of what is made while the site is built."""
    page, pictures = gallery(float(os.environ.get(PICTURES) or "inf"))
    yield "docs/gallery.md", page
    yield from ((f"docs/gallery/{name}", content) for name, content in pictures.items())
    yield from ((f"docs/api/{package}.md", api_page(package)) for package in API)
    yield "LICENSE.md", f"# Licence\n\n{(ROOT / 'LICENSE').read_text()}"
    yield from notebook_pages()


def notebook_pages() -> Iterator[tuple[str, str | bytes]]:
    """The committed notebooks as Markdown, and their figures."""
    from nbconvert import MarkdownExporter

    for path in NOTEBOOKS:
        folder = f"{path.stem}_files"
        page, resources = MarkdownExporter().from_filename(str(path), {"output_files_dir": folder})
        yield f"notebooks/{path.stem}.md", page
        yield from ((f"notebooks/{name}", content) for name, content in resources["outputs"].items())


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Notebooks and API take their places in the navigation."""
    config.nav[2:2] = [{"Notebooks": [page_of(f"notebooks/{path.name}") for path in NOTEBOOKS]}]
    config.nav.append({"API": [{package: f"docs/api/{package}.md"} for package in API]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every file under the path that it has in the repository."""
    from mkdocs.structure.files import File

    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
            if not file.src_uri.endswith(".py"):
                files.append(File.generated(config, f"docs/{file.src_uri}", abs_src_path=file.abs_src_path))
    for path in PAGES:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for path, content in made():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site needs them."""
    return site_links(markdown, page.file.src_uri)
