"""The command line: commands, arguments and options, from their declarations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer

from bayesinn.cli import app

_OPTION = re.compile(r"(?<![\w`-])--[a-z][a-z-]*")
_PAGE = """# Command line

A simulator is named as `bayesinn list` prints it, or `file.py:object` for one in a file of yours. This page is made from
the commands' own declarations; `bayesinn COMMAND --help` prints the same.

```bash
# before training: is the simulator sound?
bayesinn check model.py:outbreak
# train, diagnose, infer, report into runs/outbreak
bayesinn run model.py:outbreak --data counts.csv
# answers for other data
bayesinn infer runs/outbreak --data new.csv --simulator model.py:outbreak --output new
```

**The exit status** is 0 if all is well, 1 if `check` finds a problem or a posterior is outside tolerance, 2 for bad
input or a training that had no time for 50 steps, 3 if `check` finds an output that depends on no parameter or a
parameter on which no output depends, 130 after Ctrl-C, and 143 after SIGTERM.

| command | |
|---|---|
{commands}

{sections}
"""


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return the page."""
    group: Any = typer.main.get_command(app)
    shown = {name: command for name, command in group.commands.items() if not command.hidden}
    commands = "\n".join(
        f"| [`{name}`](#{name}) | {_cell(_lines(command)[0])} |" for name, command in shown.items()
    )
    sections = "\n".join(_section(name, command) for name, command in shown.items())
    return {"generated/commands.md": _PAGE.format(commands=commands, sections=sections)}


def _lines(command: Any) -> list[str]:
    """Return the paragraphs of a command's help, each on a line."""
    return [" ".join(part.split()) for part in command.help.split("\n\n")]


def _section(name: str, command: Any) -> str:
    """Return a command: what it does, how it is called, its arguments and options."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join(["bayesinn", name, *(each.metavar or each.name.upper() for each in arguments)])
    options = [each for each in command.params if each not in arguments and not each.hidden]
    usage += " [OPTIONS]" if options else ""
    said = "\n\n".join(map(_cell, _lines(command)))
    text = f"## {name}\n\n{said}\n\n```bash\n{usage}\n```\n"
    rows = [_row(each) for each in (*arguments, *options)]
    table = "| | | default |\n|---|---|---|\n" + "\n".join(rows)
    return f"{text}\n{table}\n" if rows else text


def _row(parameter: Any) -> str:
    """Return the row of an argument or an option."""
    name = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "option":
        name = "`, `".join(parameter.opts[:1] + parameter.secondary_opts)
    many = " May be repeated." if parameter.multiple else ""
    return f"| `{name}` | {_cell(parameter.help or '')}{many} | {_default(parameter)} |"


def _default(parameter: Any) -> str:
    """Return what holds if an argument or an option is left out."""
    if isinstance(parameter.show_default, str):
        return _cell(parameter.show_default)
    if parameter.required:
        return "required"
    value = parameter.default
    if value is None or value is False or not parameter.show_default or value == []:
        return ""
    return "yes" if value is True else f"{value:,}" if isinstance(value, int) else str(value)


def _cell(text: str) -> str:
    """Return text as a cell of a table in Markdown; options are code, not dashes."""
    text = " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")
    return _OPTION.sub(r"`\g<0>`", text)
