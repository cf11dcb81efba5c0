"""Run the tutorials, and keep what their cells print and draw for the documentation.

    python -m docs.pages.execute [NAME ...]    # all of them take some minutes
    python -m docs.pages.execute --stale       # those whose code has changed
    python -m docs.pages.execute --notebooks build/notebooks    # as notebooks, with what is kept

Each tutorial gets a folder in ``docs/executed``: ``outputs.json``, with the text of each cell and
the names of its figures, and the figures. The documentation is built from these, without running
the tutorials again.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from matplotlib import rc_params_from_file
from nbclient import NotebookClient

from docs.pages.links import ROOT
from docs.pages.tutorials import EXECUTED, TUTORIALS, code_of, fingerprint

# Seconds that one cell may take; training takes longest, on a busy machine for longer still.
CELL_TIMEOUT = 3600
# Links to files of the repository.
_LOCAL = re.compile(r"(?<!!)\[([^\]\[]*)\]\((?!https?:|#)[^)\s]*\)")
STYLE = ROOT / "bayesinn" / "plots" / "bayesinn.mplstyle"


def new_kernel() -> AsyncKernelManager:
    """Return the kernel of this interpreter, not yet started, whatever is installed."""
    return AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )


def run(notebook: Any, folder: Path, kernel: AsyncKernelManager | None = None) -> Any:
    """Execute in place, ``folder`` as working directory; raise the first error with its cell.

    In a kernel of its own, or in one that lives on, with all that it has and its own directory.
    """
    client = NotebookClient(
        notebook,
        km=kernel or new_kernel(),
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(folder)}},
    )
    inline = "module://matplotlib_inline.backend_inline"
    _sharpen(folder / ".ipython")
    # What tutorials save to temporary folders goes with this one.
    private = {"IPYTHONDIR": str(folder / ".ipython"), "TMPDIR": str(folder)}
    # The library beside the tutorials, whatever is installed.
    private["PYTHONPATH"] = str(TUTORIALS.parent)
    # A kernel that stayed alive would keep one or two gigabytes until the end.
    client.execute(cleanup_kc=kernel is None, env=os.environ | {"MPLBACKEND": inline} | private)
    return notebook


def _sharpen(profile: Path) -> None:
    """Let figures have the house style, and twice the pixels of a screen of old."""
    settings = dict(rc_params_from_file(STYLE, use_default_template=False))
    cycle = settings.pop("axes.prop_cycle").by_key()["color"]
    file = profile / "profile_default" / "ipython_kernel_config.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "from cycler import cycler\nc = get_config()\n"
        "c.InlineBackend.figure_formats = {'retina'}\n"
        # A figure as wide as a page stays so.
        "c.InlineBackend.print_figure_kwargs = {'bbox_inches': 'tight', 'pad_inches': 0.04}\n"
        f"c.InlineBackend.rc = {settings!r} | {{'axes.prop_cycle': cycler(color={cycle!r})}}\n"
    )


def save(file: Path, notebook: Any) -> None:
    """Write what the cells of an executed tutorial print and draw."""
    folder = EXECUTED / file.stem
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cells = []
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        text = ""
        table = ""
        figures = []
        for output in cell.outputs:
            # Notes on standard error, such as bars of progress, are nothing to read.
            if output.output_type == "stream":
                text += output.text if output.name == "stdout" else ""
            elif "image/png" in output.data:
                count += 1
                figures.append(f"{count}.png")
                (folder / figures[-1]).write_bytes(base64.b64decode(output.data["image/png"]))
            elif 'class="dataframe"' in output.data.get("text/html", ""):
                table = _table(output.data["text/html"])
            else:
                text += output.data["text/plain"] + "\n"
        text = _without_progress("\n".join(map(str.rstrip, text.rstrip().split("\n"))))
        cells.append({"text": text, "figures": figures} | ({"table": table} if table else {}))
    saved = {"code": fingerprint(code_of(file.read_text())), "cells": cells}
    (folder / "outputs.json").write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n")


def as_notebook(file: Path) -> Any:
    """Return a tutorial as a notebook, with what its cells printed and drew when it was executed.

    Checks of what the text says are left out. Links to files of the repository are words.
    """
    folder = EXECUTED / file.stem
    kept = json.loads((folder / "outputs.json").read_text())
    if kept["code"] != fingerprint(code_of(file.read_text())):
        raise SystemExit(
            f"{file.name} has changed: run python -m docs.pages.execute {file.stem[:2]}"
        )
    notebook = jupytext.read(file)
    outputs = iter(kept["cells"])
    shown = []
    for number, cell in enumerate(notebook.cells):
        # Random otherwise: the same tutorial gives the same file.
        cell["id"] = f"cell-{number}"
        if cell.cell_type != "code":
            cell.source = _LOCAL.sub(r"\1", cell.source)
        else:
            output = next(outputs)
            cell.outputs = list(_outputs(output, folder))
            if "remove-cell" in cell.metadata.get("tags", ()):
                continue
        shown.append(cell)
    notebook.cells = shown
    notebook.metadata.pop("jupytext", None)
    return notebook


def _outputs(kept: dict[str, Any], folder: Path) -> Iterator[Any]:
    """Yield what a cell printed, its table and its figures, in the form of notebooks."""
    if kept["text"]:
        yield nbformat.v4.new_output("stream", name="stdout", text=kept["text"] + "\n")
    if kept.get("table"):
        yield nbformat.v4.new_output("display_data", {"text/html": kept["table"]})
    for name in kept["figures"]:
        picture = base64.b64encode((folder / name).read_bytes()).decode()
        yield nbformat.v4.new_output("display_data", {"image/png": picture})


def _without_progress(text: str) -> str:
    """Leave out all lines of progress but the last, which say how busy a machine was."""
    return re.sub(r"^(training|diagnosing): .*\n(?=\1: )", "", text, flags=re.MULTILINE)


def _table(html: str) -> str:
    """Return a table of pandas as the site shows tables: without a style and a border of its own."""
    rows = re.search(r"<table.*</table>", html, re.DOTALL)
    assert rows is not None
    table = re.sub(r"<table[^>]*>", '<table class="docutils dataframe">', rows[0])
    table = table.replace(' style="text-align: right;"', "")
    return f'<div class="table-wrapper output">\n{table}\n</div>'


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="beginning of a file's name, such as 02"
    )
    parser.add_argument(
        "--stale", action="store_true", help="only where the code has changed since the last time"
    )
    parser.add_argument(
        "--notebooks", type=Path, metavar="FOLDER", help="write notebooks there, and run nothing"
    )
    given = parser.parse_args()
    for file in sorted(TUTORIALS.glob("[0-9]*.md")):
        if given.notebooks:
            given.notebooks.mkdir(parents=True, exist_ok=True)
            nbformat.write(as_notebook(file), given.notebooks / f"{file.stem}.ipynb")
            continue
        saved = EXECUTED / file.stem / "outputs.json"
        fresh = saved.is_file() and json.loads(saved.read_text())["code"] == fingerprint(
            code_of(file.read_text())
        )
        if file.name.startswith(tuple(given.names or [""])) and not (given.stale and fresh):
            print(file.stem, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                save(file, run(jupytext.read(file), Path(folder)))


if __name__ == "__main__":
    main()
