"""The house: imports go one way, and what touches the world stays at its border."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import pytest
from conftest import ROOT

# A package imports from those after it; tracker and upload know nothing of each other.
ORDER = ("cli", "download", "upload", "tracker", "net", "protocol", "content", "")
APART = {("tracker", "upload"), ("upload", "tracker"), ("download", "tracker")}
BORDER = {
    "socket": {
        "net/connection",
        "net/listener",
        "net/discovery",
        "net/search",
        "net/resolver",
        "net/address",
        "net/interfaces",
        "net/waker",
        "net/losses",
        "net/sending",
    },
    "rich": {"cli/terminal", "cli/bars", "cli/prompt"},
}
# Plain data, and what is seen only in whole programs (tests/programs/).
UNTESTED_ALONE = {
    *("download/request", "errors", "events", "timeouts"),
}
LONGEST_MODULE, LONGEST_FUNCTION = 300, 40  # lines

PACKAGE = ROOT / "rede_p2p"
MODULES = {
    str(path.relative_to(PACKAGE).with_suffix("")): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
every_module = pytest.mark.parametrize("module", MODULES)


def imported(path):
    """Yield what a file imports, a module of ours as ``rede_p2p.package.module``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("rede_p2p"):
            for alias in node.names:
                inner = "/".join([*node.module.split("."), alias.name])
                is_module = inner.partition("/")[2] in MODULES
                yield f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def ours(module):
    """List the modules of ours that a module imports."""
    found = [name for name in imported(MODULES[module]) if name.startswith("rede_p2p.")]
    return sorted({"/".join(name.split(".")[1:]) for name in found})


def package_of(module):
    return module.rpartition("/")[0]


@every_module
def test_a_package_imports_only_from_those_below(module):
    here = package_of(module)
    for other in ours(module):
        there = package_of(other)
        assert ORDER.index(here) <= ORDER.index(there), f"{module} imports {other}"
        assert (here, there) not in APART, f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({module: ours(module) for module in MODULES}).prepare()


@every_module
def test_sockets_and_the_terminal_are_touched_only_at_their_border(module):
    for name in imported(MODULES[module]):
        only = BORDER.get(name.partition(".")[0])
        assert only is None or module in only, f"{module} imports {name}"


@every_module
def test_a_module_and_its_functions_are_read_in_one_sitting(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


@every_module
def test_a_module_has_a_test_file_of_its_name(module):
    folder, _, name = module.rpartition("/")
    expected = ROOT / "tests" / folder / f"test_{name}.py"
    assert expected.exists() or module in UNTESTED_ALONE, f"{expected} is missing"
