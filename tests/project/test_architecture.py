"""The plan of the project: which room imports from which, size and wording of its files."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "bayesinn"
#: A room may import from those before it.
ROOMS = (
    "core",
    "simulation",
    "spaces",
    "bijections",
    "flows",
    "summaries",
    "training",
    "estimators",
    "posterior",
    "diagnostics",
    "plots",
    "reference",
    "inverse",
    "likelihood",
    "comparison",
    "points",
    "hierarchical",
    "diagnosis",
    "guidance",
    "testing",
    "cli",
)
HALL = {"__init__.py", "_version.py"}
MOST_STATEMENTS = 27_300
#: Openings that continue the name of a function in place of saying what it does.
CONTINUATIONS = re.compile(r"(Of|As|That|For|With|Whose|Where|Which|From|Within|By|In)\b")


FILES = sorted(LIBRARY.rglob("*.py"))


@functools.cache
def tree(file):
    return ast.parse(file.read_text())


def module_name(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imported(file):
    """Modules of the library that a file imports, also inside of functions and for types only."""
    names = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(
                (f"{node.module}.{alias.name}", node.module)[
                    not is_module(f"{node.module}.{alias.name}")
                ]
                for alias in node.names
            )
    return {name for name in names if name.partition(".")[0] == "bayesinn"}


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def test_the_hall_is_empty():
    assert {path.name for path in LIBRARY.glob("*.py")} == HALL
    assert {
        path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name != "__pycache__"
    } == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_from_the_rooms_above(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1], None}
    wrong = [
        f"{module_name(file)} imports {name}"
        for file in sorted((LIBRARY / room).rglob("*.py"))
        for name in sorted(imported(file))
        if room_of(name) not in allowed or (room_of(name) is None and name != "bayesinn._version")
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_in_circles():
    arrows = {module_name(file): imported(file) for file in FILES}
    finished = set()
    path = []

    def visit(name):
        if name in path:
            pytest.fail(" -> ".join([*path[path.index(name) :], name]))
        if name in finished or name not in arrows:
            return
        path.append(name)
        for other in sorted(arrows[name]):
            visit(other)
        finished.add(path.pop())

    for name in sorted(arrows):
        visit(name)


def test_the_library_is_small():
    # Statements, not lines: a limit of lines would reward those that must be read twice.
    assert sum(statements(file) for file in FILES) <= MOST_STATEMENTS


def test_assignments_are_read_one_by_one():
    packed = [
        f"{module_name(file)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(tree(file))
        if is_parallel(node)
    ]
    assert not packed


def test_warnings_point_at_the_line_of_the_user():
    """One function knows which line that is; a number of levels holds for one caller only."""
    counted = [
        f"{module_name(file)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
        if module_name(file) != "bayesinn.core.errors"
    ]
    assert not counted, "call bayesinn.core.errors.warn"


def is_parallel(node):
    """Whether a statement assigns several values to several names, as ``a, b = x, y`` does."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
    )


def statements(file):
    """Number of statements without docstrings; a parallel assignment counts as its parts."""
    return sum(
        len(node.value.elts) if is_parallel(node) else 1
        for node in ast.walk(tree(file))
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )


def test_docstrings_say_what_a_thing_is_or_does():
    wrong = []
    for file in (*FILES, *sorted((ROOT / "simulators").rglob("*.py"))):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if CONTINUATIONS.match(text):
                    wrong.append(f"{module_name(file)}.{node.name}: {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
