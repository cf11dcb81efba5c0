"""Every tutorial runs as written, from top to bottom, in the interpreter that runs the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TUTORIALS = Path(__file__).parents[2] / "tutorials"
FILES = sorted(TUTORIALS.glob("[0-9]*.md"))

# Seconds that one cell may take; training takes longest.
CELL_TIMEOUT = 600


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request):
    return request.param


def run(notebook, folder):
    """Execute in place, with ``folder`` as working directory; the first error is raised with its cell."""
    # No folder of kernels: what remains is the kernel of this interpreter, whatever is installed on the machine.
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=kernel, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(folder)}})
    inline = "module://matplotlib_inline.backend_inline"
    # What tutorials save to temporary folders goes with the test's.
    private = {"IPYTHONDIR": str(folder / ".ipython"), "TMPDIR": str(folder)}
    # The library beside the tutorials, whatever is installed.
    private["PYTHONPATH"] = str(TUTORIALS.parent)
    # A kernel that stayed alive would keep one or two gigabytes until the last test.
    client.execute(cleanup_kc=True, env=os.environ | {"MPLBACKEND": inline} | private)
    return notebook


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
    notebook = jupytext.reads("```{code-cell} ipython3\nimport sys; print(sys.executable)\n```\n", fmt="md:myst")
    (stream,) = outputs(run(notebook, tmp_path), "stream")
    assert stream.text.strip() == sys.executable


def test_a_cell_that_fails_is_an_error(tmp_path):
    notebook = jupytext.reads("```{code-cell} ipython3\nassert 1 + 1 == 3\n```\n", fmt="md:myst")
    with pytest.raises(CellExecutionError, match="assert 1"):
        run(notebook, tmp_path)


def test_header(file):
    metadata = jupytext.read(file).metadata
    assert metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert metadata["jupytext"]["text_representation"]["format_name"] == "myst"


def test_no_output_is_committed(file):
    notebook = jupytext.read(file)
    assert any(cell.cell_type == "code" for cell in notebook.cells)
    assert not any(cell.outputs or cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    text = file.read_text()
    assert not any(trace in text for trace in ("data:image", "base64", "<div", "<img", "{output", "Traceback"))
    assert not any(len(line) > 120 for line in text.splitlines())


def test_nothing_but_text_in_the_folder():
    assert {path.suffix for path in TUTORIALS.rglob("*") if path.is_file()} == {".md"}


@pytest.mark.slow
def test_runs(file, tmp_path):
    notebook = run(jupytext.read(file), tmp_path)
    pictures = [output for kind in ("display_data", "execute_result") for output in outputs(notebook, kind)]
    assert any("image/png" in output.data for output in pictures)
    # Readers see no warnings. (TensorFlow's start-up notes bypass Python; the kernel leaves those out under pytest.)
    assert [stream.text for stream in outputs(notebook, "stream") if stream.name == "stderr"] == []
