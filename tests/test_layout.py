"""The house: imports go one way, and what touches the world stays at its border."""

from __future__ import annotations

import ast
import re
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


PAGE = (ROOT / "docs" / "ARQUITETURA.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text):
    """List the first cell of each row of the tables, which must be of names."""
    return re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)


def locks_of(module):
    """Yield the locks of a module, and of its classes, as the page names them."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    scopes = [(module.rpartition("/")[2], tree.body, "")]
    scopes += [
        (one.name, ast.walk(one), "self.") for one in tree.body if isinstance(one, ast.ClassDef)
    ]
    for scope, nodes, prefix in scopes:
        for node in nodes:
            if isinstance(node, ast.Assign) and re.match(
                r"(Lock|Condition)\(", ast.unparse(node.value)
            ):
                name = ast.unparse(node.targets[0])
                if name.startswith(prefix):
                    yield f"{scope}.{name.removeprefix(prefix)}"


def threads_of(module):
    """Yield the names of the threads that a module starts, a number in them as ``N``."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("Thread", "ThreadPoolExecutor"):
                for given in (*node.args, *(one.value for one in node.keywords)):
                    if isinstance(given, ast.Constant) and isinstance(given.value, str):
                        yield given.value
                    elif isinstance(given, ast.JoinedStr):
                        yield re.sub("{.*}", "N", ast.unparse(given)[2:-1])


def test_the_page_tells_of_every_module_once():
    told = []
    for part in section("Os pacotes").split("\n### ")[1:]:
        folder = re.match("(?:`(.*?)`)?", part)[1] or ""
        told += [
            folder + name for cell in first_cells(part) for name in re.findall(r"`(\w+)`", cell)
        ]
    assert sorted(told) == sorted(MODULES)


def test_the_page_tells_of_every_lock():
    cells = first_cells(section("As travas"))
    told = [name for cell in cells for name in re.findall("`(.*?)`", cell)]
    assert sorted(told) == sorted(name for module in MODULES for name in locks_of(module))


def test_the_page_tells_of_every_thread():
    rows = re.findall(r"^\| [^|`]+ \| `(.*?)`", section("As threads"), re.MULTILINE)
    started = {name for module in MODULES for name in threads_of(module)}
    assert set(rows) == started | {"IP", "IP:PORTA"}  # these two have an address for a name
