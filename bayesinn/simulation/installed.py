"""Simulators of installed packages and files, found without importing any, so the CLI is fast."""

import ast
import contextlib
import difflib
import importlib.util
import re
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from bayesinn.core.errors import InputError

ENTRY_POINT_GROUP = "bayesinn.simulators"


def entry_points() -> metadata.EntryPoints:
    """Return the entry points of all installed simulators."""
    return metadata.entry_points(group=ENTRY_POINT_GROUP)


def descriptions() -> dict[str, str]:
    """Return the name of each installed simulator and a line on it, from its module's docstring.

    Where a line of that begins with the simulator's name, as in "``sir``: ...", it is the rest of
    this line, else the first line. The module is not imported, packages around it are.
    """
    points = sorted(entry_points(), key=lambda point: point.name)
    return {point.name: _line(point.module, point.attr) for point in points}


def split_name(name: str) -> tuple[Path, str] | None:
    """Return the file and object of ``file.py:object``; None for a registered simulator's name.

    ``file.py`` alone is its one simulator; with several, or none, the object is empty.
    """
    path, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
    if not path.endswith(".py"):
        return None
    file = Path(path).expanduser()
    if not attribute:
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            declared = _declared(ast.parse(file.read_text("utf-8")))
            attribute = declared[0] if len(declared) == 1 else ""
    return file, attribute


def check_name(name: str, known: Collection[str] = ()) -> None:
    """Raise an InputError for what can't be a simulator's name.

    ``known`` are names beside those of the installed simulators.
    """
    if (place := split_name(name)) is not None:
        _check_in_file(*place)
    elif name not in (names := sorted({*known, *entry_points().names})):
        close = difflib.get_close_matches(name, names, n=1)
        raise InputError(
            f"Simulator {name!r}",
            expected=f"one of {names}, or a path like 'model.py:simulator'",
            got=repr(name),
            do=(
                f"did you mean {close[0]!r}?"
                if close
                else "check the spelling, or register it with bi.register_simulator(...)"
            ),
        )


def no_such_simulator(file: Path, attribute: str, names: Collection[str]) -> InputError:
    """Return the error for an object that a file lacks, with the simulators that it has."""
    example = next(iter(difflib.get_close_matches(attribute, names, n=1) or names), "NAME")
    do = (
        f"name it as in {file}:{example}"
        if names
        else "declare one with @bi.simulator(prior={...})"
    )
    found = (
        f"its simulators are {', '.join(names)}"
        if names
        else "it declares no simulator by @bi.simulator"
    )
    return InputError(
        f"Simulator file {str(file)!r}",
        expected="the name of a simulator in it",
        got=f"{repr(attribute) if attribute else 'the file alone'}; {found}",
        do=do,
    )


def _check_in_file(file: Path, attribute: str) -> None:
    if not file.is_file():
        raise InputError(
            "Simulator file", expected="a Python file", got=str(file), do="check the path"
        )
    try:
        text = file.read_text("utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise InputError(
            f"Simulator file {str(file)!r}",
            expected="a Python file",
            got=f"{type(error).__name__}: {error}",
            do="correct it",
        ) from error
    # A name that is written nowhere may still come from another module.
    if not (attribute and re.search(rf"\b{re.escape(attribute)}\b|import \*", text)):
        raise no_such_simulator(file, attribute, _declared(tree))


def _declared(tree: ast.Module) -> list[str]:
    """Return the names of the simulators that are declared at the top of a module."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(map(_declares, node.decorator_list)):
            names.append(node.name)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and _declares(node.value.func)
        ):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def _declares(node: ast.expr) -> bool:
    """Tell whether an expression is ``bi.simulator(...)``."""
    function = node.func if isinstance(node, ast.Call) else None
    return "simulator" in (getattr(function, "attr", None), getattr(function, "id", None))


def _line(module: str, attribute: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except Exception:
        # Of the packages around it, which this imports; they may be anybody's.
        spec = None
    if spec is None or spec.origin is None:
        return "(not importable)"
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    line = re.search(rf"^``{re.escape(attribute)}``: (.+)$", text, re.MULTILINE)
    return line[1] if line else text.partition("\n")[0]
