"""Small changes of Python code, each of which a test should notice."""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

COMPARISONS = {
    ast.Lt: [("boundary", ast.LtE), ("comparison", ast.GtE)],
    ast.LtE: [("boundary", ast.Lt), ("comparison", ast.Gt)],
    ast.Gt: [("boundary", ast.GtE), ("comparison", ast.LtE)],
    ast.GtE: [("boundary", ast.Gt), ("comparison", ast.Lt)],
    ast.Eq: [("comparison", ast.NotEq)],
    ast.NotEq: [("comparison", ast.Eq)],
    ast.Is: [("comparison", ast.IsNot)],
    ast.IsNot: [("comparison", ast.Is)],
    ast.In: [("comparison", ast.NotIn)],
    ast.NotIn: [("comparison", ast.In)],
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
#: What is said to people, and names for the eye only: no test must fail when they change.
SPOKEN = {"warn", "print", "Progress", "repr", "str", "describe", "join"}
SPOKEN_KEYWORDS = {
    "name",
    "do",
    "got",
    "expected",
    "note",
    "subject",
    "strict",
    "shown",
    "label",
    "progress",
}
SPOKEN_FUNCTIONS = {"__repr__", "__str__", "describe"}
#: Calls that hand on what they are given, in another type at most.
CONVERSIONS = {
    *(
        "float",
        "int",
        "bool",
        "str",
        "tuple",
        "list",
        "dict",
        "set",
        "cast",
        "array",
        "asarray",
        "constant",
    ),
    *(
        "convert_to_tensor",
        "ensure_shape",
        "identity",
        "numpy",
        "ascontiguousarray",
        "iter",
        "super",
    ),
    *("float32", "float64", "int32"),
}
#: Arguments that say how large a network is: somebody's choice, which a test would only repeat.
CHOSEN = {"hidden", "units", "filters", "dense", "blocks"}
#: What decides how fast something is or how much memory it takes, but no result.
SPEED = re.compile(
    r"chunk|block|_rows|parallel_iter|maximum_iter|autograph|jit_compile|xla|buffer|dtype", re.I
)


class Mutant(NamedTuple):
    """One change: in a file, the text between two places is replaced.

    ``number`` counts changes that read the same, in lines of ``source`` that read the same.
    """

    file: str
    line: int
    source: str
    kind: str
    before: str
    after: str
    number: int
    place: tuple[int, int]
    code: str

    def text(self, original: str) -> str:
        """Return the text of the file with this change."""
        return original[: self.place[0]] + self.code + original[self.place[1] :]

    def row(self) -> dict[str, Any]:
        """Return what the table has of it."""
        return {
            name: value for name, value in self._asdict().items() if name not in ("place", "code")
        }


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Return all mutants of a file."""
    text = (root / file).read_text()
    # Columns of the syntax tree count bytes.
    encoded = text.encode()
    starts = [0, *itertools.accumulate(len(line) for line in encoded.splitlines(keepends=True))]
    lines = text.splitlines()
    counts: Counter[tuple[str, ...]] = Counter()
    found = []
    for node, kind, new in _changes(ast.parse(text)):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        code = new if isinstance(new, str) else f"({ast.unparse(new)})"
        source = lines[node.lineno - 1].strip()
        shown = source, kind, _short(encoded[begin:end].decode()), _short(code)
        counts[shown] += 1
        place = len(encoded[:begin].decode()), len(encoded[:end].decode())
        found.append(Mutant(file, node.lineno, *shown, counts[shown], place, code))
    return found


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 90 else f"{line[:87]}..."


def _changes(tree: ast.Module) -> Iterator[tuple[Any, str, Any]]:
    """Yield a node, the kind of change, and the node or text that replaces it."""
    for node in _unspoken(tree):
        match node:
            case ast.Compare(ops=[operator]):
                for kind, other in COMPARISONS[type(operator)]:
                    yield node, kind, _with(node, ops=[other()])
            case ast.BinOp(op=operator) if type(operator) in ARITHMETIC and not _has_text(node):
                yield node, "arithmetic", _with(node, op=ARITHMETIC[type(operator)]())
            case (
                ast.UnaryOp(op=ast.Not())
                | ast.UnaryOp(op=ast.USub(), operand=ast.Name() | ast.Call() | ast.BinOp())
            ):
                yield node, "sign or not", node.operand
            case ast.BoolOp(op=operator):
                yield (
                    node,
                    "and/or",
                    _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And()),
                )
            case ast.IfExp():
                yield node, "branches", _with(node, body=node.orelse, orelse=node.body)
            case ast.Constant(value=bool()):
                yield node, "constant", str(not node.value)
            case ast.Constant(value=int() | float()):
                yield node, "constant", _other_number(node.value)
            case ast.keyword(arg="axis", value=ast.Constant() | ast.UnaryOp()):
                is_first = isinstance(node.value, ast.Constant) and node.value.value == 0
                yield node, "axis", "axis=-1" if is_first else "axis=0"
            case ast.keyword(arg=str()):
                yield node, "argument dropped", "**{}"
            case ast.Call(args=[argument], keywords=[], func=ast.Attribute()) if not _converts(
                node
            ):
                if not _has_text(node) and not isinstance(argument, ast.Starred | ast.GeneratorExp):
                    yield node, "call left out", argument
            case ast.Return(value=ast.BinOp() | ast.Call() as value) if not _converts(value):
                yield value, "returned value", f"2 * ({ast.unparse(value)})"
            case ast.Return(
                value=ast.Tuple(elts=[*_, ast.BinOp() | ast.Call() | ast.Name() as value])
            ):
                yield value, "returned value", f"2 * ({ast.unparse(value)})"
            case ast.If(body=[*_, ast.Raise()], orelse=[]):
                yield node, "statement removed", "pass"
            case ast.AugAssign() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Call()):
                yield node, "statement removed", "pass"


def _unspoken(node: ast.AST) -> Iterator[ast.AST]:
    """Yield nodes, without what only people or clocks would see: types, texts, errors, sizes of chunks.

    Numbers in default values are left out, too: they are choices, as sizes of networks are.
    """
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return
        case ast.FunctionDef() if node.name in SPOKEN_FUNCTIONS:
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.IfExp() if _has_text(node.body) or _has_text(node.orelse):
            return
        case ast.Call() | ast.Expr(value=ast.Call()) if _is_spoken(
            node if isinstance(node, ast.Call) else node.value
        ):
            return
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) if SPEED.search(
            ast.unparse(target)
        ):
            return
        case ast.keyword() if node.arg in SPOKEN_KEYWORDS | CHOSEN or SPEED.search(node.arg or ""):
            return
        case ast.arguments():
            yield from (
                part for part in [*node.defaults, *node.kw_defaults] if part and _is_flag(part)
            )
            return
    yield node
    if isinstance(node, ast.keyword) and node.arg == "axis":
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _unspoken(child)


def _with(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _other_number(value: float) -> str:
    if isinstance(value, int):
        return str(value + 1 if value < 10 else 2 * value)
    return str(1.0 if value == 0.0 else 2.0 * value)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _is_spoken(call: ast.Call) -> bool:
    return _called(call) in SPOKEN or _called(call).endswith("Error")


def _converts(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and (
        _called(node) in CONVERSIONS or _called(node)[:1].isupper()
    )


def _is_flag(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _has_text(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in ast.walk(node)
    )
