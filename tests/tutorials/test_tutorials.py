"""Every tutorial runs as written, from top to bottom, in the interpreter that runs the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient.exceptions import CellExecutionError

from docs.pages.execute import run
from docs.pages.tutorials import TUTORIALS
from tests.helpers.warm import run_warm

FILES = sorted(TUTORIALS.glob("[0-9]*.md"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request):
    return request.param


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
    assert not any(len(line) > 120 for line in text.splitlines())


def test_nothing_but_text_in_the_folder():
    assert {path.suffix for path in TUTORIALS.rglob("*") if path.is_file()} == {".md"}


def run_cells(file: Path) -> None:
    """Run a tutorial's cells as a kernel does; write what they show and print, as JSON."""
    import matplotlib
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from matplotlib_inline.backend_inline import configure_inline_support

    matplotlib.use("module://matplotlib_inline.backend_inline")
    shell = InteractiveShell.instance()
    configure_inline_support(shell, "inline")
    # Values of last lines; what cells display is captured.
    shown = []
    shell.displayhook.write_format_data = lambda data, _: shown.append(data)
    errors = []
    for cell in jupytext.read(file).cells:
        if cell.cell_type == "code":
            with capture_output() as captured:
                result = shell.run_cell(cell.source)
            if not result.success:
                print(captured.stdout, file=sys.stderr)
            result.raise_error()
            shown += [output.data for output in captured.outputs]
            errors.append(captured.stderr)
    pictures = sum("image/png" in data for data in shown)
    print(json.dumps({"pictures": pictures, "errors": "".join(errors)}))


@pytest.mark.slow
def test_runs(file, tmp_path):
    # What tutorials save to temporary folders goes with this one.
    private = {"IPYTHONDIR": str(tmp_path / ".ipython"), "TMPDIR": str(tmp_path)}
    done = run_warm(run_cells, file, cwd=tmp_path, env=private)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown["pictures"]
    # Readers see no warnings. (TensorFlow's start-up notes bypass Python.)
    assert shown["errors"] == ""
