"""Every tutorial runs as written, from top to bottom, in the interpreter that runs the tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import jupytext
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionError

from docs.pages import execute
from docs.pages.execute import new_kernel, run
from docs.pages.tutorials import TUTORIALS

FILES = sorted(TUTORIALS.glob("[0-9]*.md"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request):
    return request.param


@pytest.fixture(scope="module")
def kernel() -> Iterator[AsyncKernelManager]:
    """One for all tutorials: a new one would import TensorFlow, for six processor seconds."""
    one = new_kernel()
    yield one
    run_sync(one.shutdown_kernel)(now=True)


# Gives a kernel to the next tutorial as though it were new.
ANEW = """```{code-cell} ipython3
%reset -f
import os, sys
if "bayesinn" in sys.modules:
    import keras
    from bayesinn.simulation import registry
    registry._registered.clear()
    keras.backend.clear_session()
    import gc
    gc.collect()
os.chdir(FOLDER)
```
"""


def outputs(notebook, kind):
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == kind
    ]


def test_there_are_tutorials():
    assert FILES


def test_the_kernel_is_this_interpreter(tmp_path):
    notebook = jupytext.reads(
        "```{code-cell} ipython3\nimport sys; print(sys.executable)\n```\n", fmt="md:myst"
    )
    (stream,) = outputs(run(notebook, tmp_path), "stream")
    assert stream.text.strip() == sys.executable


def test_a_cell_that_fails_is_an_error(tmp_path):
    notebook = jupytext.reads("```{code-cell} ipython3\nassert 1 + 1 == 3\n```\n", fmt="md:myst")
    with pytest.raises(CellExecutionError, match="assert 1"):
        run(notebook, tmp_path)


def test_tables_are_html_and_figures_are_sharp(tmp_path, monkeypatch):
    cell = "import pandas as pd\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    cell += "pd.DataFrame({'mean': [1.5]}, index=['x1'])"
    source = tmp_path / "01_test.md"
    source.write_text(f"```{{code-cell}} ipython3\n{cell}\n```\n")
    monkeypatch.setattr(execute, "EXECUTED", tmp_path)
    execute.save(source, run(jupytext.read(source, fmt="md:myst"), tmp_path))
    (saved,) = json.loads((tmp_path / "01_test" / "outputs.json").read_text())["cells"]
    assert saved["text"] == ""
    assert saved["table"].startswith('<div class="table-wrapper output">\n<table class="docutils')
    assert "<th>mean</th>" in saved["table"]
    assert "1.5" in saved["table"]
    (name,) = saved["figures"]
    picture = (tmp_path / "01_test" / name).read_bytes()
    assert int.from_bytes(picture[16:20], "big") > 1000


def test_header(file):
    metadata = jupytext.read(file).metadata
    assert metadata["kernelspec"] == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    assert metadata["jupytext"]["text_representation"]["format_name"] == "myst"


def test_no_output_is_committed(file):
    notebook = jupytext.read(file)
    assert any(cell.cell_type == "code" for cell in notebook.cells)
    assert not any(
        cell.outputs or cell.execution_count for cell in notebook.cells if cell.cell_type == "code"
    )
    text = file.read_text()
    assert not any(
        trace in text
        for trace in ("data:image", "base64", "<div", "<img", "```{output", "Traceback")
    )
    # Alternative texts of figures stand on one line.
    assert not any(len(line) > 120 for line in text.splitlines() if not line.startswith(":alt:"))


def test_nothing_but_text_in_the_folder():
    assert {path.suffix for path in TUTORIALS.rglob("*") if path.is_file()} == {".md"}


@pytest.mark.slow
def test_runs(file, tmp_path, kernel):
    run(
        jupytext.reads(ANEW.replace("FOLDER", repr(str(tmp_path))), fmt="md:myst"), tmp_path, kernel
    )
    notebook = run(jupytext.read(file), tmp_path, kernel)
    pictures = [
        output for kind in ("display_data", "execute_result") for output in outputs(notebook, kind)
    ]
    assert any("image/png" in output.data for output in pictures)
    # Readers see no warnings. (TensorFlow's start-up notes bypass Python; the kernel leaves those
    # out under pytest.)
    assert [stream.text for stream in outputs(notebook, "stream") if stream.name == "stderr"] == []
