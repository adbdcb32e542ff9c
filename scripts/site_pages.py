"""Pages of the documentation site that no file of docs/ holds: mkdocs calls this while it builds.

The start page is the README, the changes are the CHANGELOG; a gallery of the figures of every publication, a page of
the API for each public package, and docs/findings.md in the navigation where it is there.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from bdry.figures.captions import apart
from bdry.figures.titles import TITLES
from bdry.runs.published import CAPTIONS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
# of packages whose names are imported on demand
ONE_BY_ONE = {
    "bdry": (
        "bdry.selection.overview.load_runs",
        "bdry.session.open_run.load_network",
        "bdry.studies.figures.draw_figures",
        "bdry.core.measuring.measuring",
    ),
    "figures": (
        "bdry.figures.style.Style",
        "bdry.figures.style.styled",
        "bdry.figures.style.save",
        "bdry.figures.style.write_table",
        "bdry.figures.pictures.show_image",
    ),
}


def on_config(config: Any) -> Any:
    """Takes docs/findings.md out of the navigation where it is not there, and puts pages in that it does not name."""
    docs = Path(config.docs_dir)
    sections = {title: pages for section in config.nav for title, pages in section.items()}
    findings = {"Findings": "findings.md"}
    if not (docs / "findings.md").is_file():
        sections["Findings"].remove(findings)
    named = str(config.nav)
    for page in sorted([*docs.glob("*.md"), *docs.glob("papers/*.md"), *docs.glob("notebooks/*.md")]):
        place = page.relative_to(docs).as_posix()
        if f"'{place}'" not in named:
            sections["Reference"].append(place)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Adds the pages."""
    from mkdocs.structure.files import File

    pages = {"index.md": _from_root("README.md"), "changelog.md": _from_root("CHANGELOG.md")}
    pages |= {f"figures/{place.parent.name}.md": gallery(place.parent) for place in RESULTS.glob(f"*/{CAPTIONS}")}
    for page in re.findall(r"api/([\w.]+)\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")):
        pages[f"api/{page}.md"] = api(page)
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def gallery(folder: Path) -> str:
    """Every figure of a publication under what it shows, each with its caption folded below."""
    place = f"results/{folder.name}"
    lines = [f"# Figures of {folder.name}", "", f"Drawn from [docs/{place}](../{place}/claims.md).", ""]
    paper = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["paper"]
    captions = apart((folder / CAPTIONS).read_text(encoding="utf-8"))
    for name, title in TITLES[paper].items():
        pictures = sorted(folder.glob(f"{name}-*.png"))
        table = folder / f"{name}.md"
        if not pictures and not table.is_file():
            continue
        lines += [f"## {title}", "", f"`bdry figures paper={paper} figure={name}`", ""]
        if table.is_file():
            lines += [table.read_text(encoding="utf-8"), ""]
        for picture in pictures:
            lines += [f"![{picture.stem}](../{place}/{picture.name}){{ loading=lazy }}", ""]
            if picture.stem not in captions:
                continue
            what, _, runs = captions[picture.stem].partition("\n\n")
            lines += [what, ""]
            lines += ["<details markdown><summary>runs and settings</summary>", "", runs.strip(), "", "</details>", ""]
    return "\n".join(lines)


def api(package: str) -> str:
    """A package's page: what it exports, then the functions that are called as the file they are in."""
    if package in ONE_BY_ONE:
        title = package if package == "bdry" else f"bdry.{package}"
        return "\n\n".join([f"# {title}", *map(_one, ONE_BY_ONE[package])])
    folder = ROOT / "src" / "bdry" / package.replace(".", "/")
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    (exported,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    hidden = [f"bdry.{package}.{name}.{name}" for name in exported if (folder / f"{name}.py").is_file()]
    return "\n\n".join([f"# bdry.{package}", f"::: bdry.{package}", *map(_one, hidden)])


def _one(name: str) -> str:
    """A function or class on a page of several, under its short name."""
    short = name.rpartition(".")[2]
    options = f"    options:\n      show_root_heading: true\n      show_root_toc_entry: true\n      heading: {short}"
    return f"::: {name}\n{options}"


def _from_root(name: str) -> str:
    """A page above docs/, its links as they are from inside."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\((?:docs/)?([\w./#-]+)\)", lambda found: f"]({_inside(found[1])})", text)


def _inside(place: str) -> str:
    return place.replace("CHANGELOG.md", "changelog.md").replace("README.md", "index.md")
