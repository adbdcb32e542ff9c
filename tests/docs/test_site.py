"""The documentation as a site: links hold on GitHub and in the site, and `make docs` builds it without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import bdry as library

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
# what scripts/site_pages.py writes, and what may come later
WRITTEN = re.compile(r"(api|figures)/[\w.-]+\.md|index\.md|changelog\.md|findings\.md")


def links(page: Path) -> list[str]:
    """Where the page's links and pictures go, but for other sites; code is left out."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [link for link in LINK.findall(text) if not urlsplit(link).scheme]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_what_is_there_and_not_out_of_the_site(page):
    for link in links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), link
        assert page.parent == ROOT or target.is_relative_to(DOCS), f"{link}: is not in docs/, hence not in the site"
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_list_begins_after_an_empty_line(page):
    """GitHub does without, the site would make one paragraph of both."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert not re.findall(r"^(?![-|\s]|\d+\. ).+\n(?:- |1\. ).*", text, re.M)


def test_the_navigation_names_pages_that_there_are():
    named = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("exclude_docs")[0])
    assert len(named) > 40
    for name in named:
        assert (DOCS / name).is_file() or WRITTEN.fullmatch(name), name
    # mkdocs itself tells of pages that the navigation does not name


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for name in ("material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("mkdocs-material and mkdocstrings are not installed: pip install -e '.[docs]', or make docs")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    # no way to any network; the other variable is mkdocs-material's, against an advertisement
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_builds_and_holds_together(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 40
    for page, text in pages.items():
        for kind, link in re.findall(r'\b(href|src)="([^"]*)"', text):
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                # a reader may go elsewhere; a page may not load anything from there
                assert kind == "href", f"{page}: {link}"
                continue
            # the page of errors is served at any depth
            target = page if not parts.path else page.parent / unquote(parts.path)
            assert page.name == "404.html" or target.resolve().exists(), f"{page.relative_to(site)}: {link}"
        for link in re.findall(r"<link [^>]*href=\"([^\"]*)\"", text) + re.findall(r"@import|url\((http[^)]*)\)", text):
            assert not urlsplit(link).scheme or 'rel="canonical"' in text, f"{page}: {link}"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "package", ["margins", "lastlayer", "deepdig", "attacks", "models", "data", "geometry.boundary", "geometry.regions"]
)
def test_the_api_has_every_public_name(site, package):
    module = library
    for part in package.split("."):
        module = getattr(module, part)
    ids = set(re.findall(r'id="([\w.]+)"', (site / "api" / f"{package}.html").read_text(encoding="utf-8")))
    documented = {name.rpartition(".")[2] for name in ids}
    missing = {name for name in module.__all__ if name not in documented and not name.isupper()}
    assert not missing


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_gallery_shows_every_published_picture(site):
    for folder in (DOCS / "results").iterdir():
        page = (site / "figures" / f"{folder.name}.html").read_text(encoding="utf-8")
        pictures = {path.name for path in folder.glob("*.png")} - {"claims-forest.png"}
        assert pictures
        assert not {name for name in pictures if f"{folder.name}/{name}" not in page}
