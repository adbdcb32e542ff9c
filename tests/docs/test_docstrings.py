"""The public library says what each argument of a function is, one a line: read from the source, nothing imported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "bdry"
PACKAGES = [
    *("attacks", "data", "deepdig", "figures", "lastlayer", "margins", "models"),
    *(f"geometry/{room}" for room in ("boundary", "detection", "regions", "subspaces")),
]


def exported(package: str) -> set[str]:
    """The names in the `__all__` of a package."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{package} has no __all__")


def functions(package: str) -> list[ast.FunctionDef]:
    """The functions of a package's files that it exports, and the methods of the data set's classes."""
    names = exported(package)
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / package).glob("*.py"))]
    nodes = [node for tree in trees for node in tree.body if getattr(node, "name", "") in names]
    if package == "data":
        nodes = [part for node in nodes for part in getattr(node, "body", []) if not is_private(part)]
    return [node for node in nodes if isinstance(node, ast.FunctionDef)]


def is_private(node: ast.stmt) -> bool:
    """Whether a part of a class is none that a user calls by name."""
    return getattr(node, "name", "_").startswith("_")


def not_documented(function: ast.FunctionDef) -> list[str]:
    """The parameters that have no line of their own under `Args:`."""
    section = re.search(r"^Args:\n((?: +.*\n?|\n)*)", ast.get_docstring(function) or "", re.M)
    lines = re.findall(r"^ {4}\**(\w+): \S", section.group(1), re.M) if section else []
    args = function.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return [name for name in names if name not in (*lines, "self")]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_argument_of_a_public_function_has_its_line(package):
    found = functions(package)
    assert found
    missing = {function.name: not_documented(function) for function in found}
    assert not {name: names for name, names in missing.items() if names}


def test_so_do_the_functions_that_bdry_itself_exports():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (places,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_FUNCTIONS"
    )
    assert "load_runs" in places
    for name, module in places.items():
        parts = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")).body
        (function,) = [part for part in parts if isinstance(part, ast.FunctionDef) and part.name == name]
        assert not not_documented(function), name


def test_what_is_missing_is_seen():
    (function,) = ast.parse(
        'def f(a, b, *, c):\n    """A sum.\n\n    Args:\n        a: the first.\n        c: d: the third.\n    """\n'
    ).body
    assert not_documented(function) == ["b"]
