"""The project as installed: metadata, effects of an import, the set-up script, files around it."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bayesinn

ROOT = Path(__file__).resolve().parents[2]
SETUP_SCRIPT = ROOT / "scripts" / "setup.sh"
BASH = shutil.which("bash")


def entry_points(group):
    entries = importlib.metadata.distribution("bayesinn").entry_points.select(group=group)
    return {entry.name: entry.value for entry in entries}


# Metadata


def test_version_is_told_once():
    assert importlib.metadata.version("bayesinn") == bayesinn.__version__
    assert f"\nversion: {bayesinn.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert bayesinn.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_entry_points():
    assert entry_points("console_scripts") == {"bayesinn": "bayesinn.cli:main"}
    assert entry_points("bayesinn.simulators").keys() >= {"linear", "gaussian", "sir", "sir_numpy"}


@pytest.mark.parametrize("group", ["console_scripts", "bayesinn.simulators"])
def test_entry_points_lead_to_something(group):
    for name, value in entry_points(group).items():
        module, _, attribute = value.partition(":")
        # The ready models stand beside the library, and are installed inside it.
        place = ROOT / module.replace("bayesinn.simulators", "simulators").replace(".", "/")
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        assert file.is_file(), f"{name}: there is no {file.relative_to(ROOT)}"
        names = names_of(file)
        # A module may make what is expensive when it is asked for.
        found = attribute in names or (
            "__getattr__" in names and hasattr(importlib.import_module(module), attribute)
        )
        assert found, f"{name}: {file.relative_to(ROOT)} defines no {attribute}"


def names_of(file):
    """Names that a module binds at its top level, without running it."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def test_constraints_cover_every_dependency():
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            if requirement.marker is None or requirement.marker.evaluate():
                pinned[canonicalize_name(requirement.name)] = specifier.version
    for line in importlib.metadata.requires("bayesinn"):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"constraints.txt has no {name}"
        assert requirement.specifier.contains(pinned[name]), (
            f"{requirement} excludes the tested {pinned[name]}"
        )


def test_wheel_has_all_packages_and_data_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT / "bayesinn", source / "bayesinn", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        ROOT / "simulators", source / "simulators", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests" / "project", source / "tests" / "project")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run(
        [sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        str(file.relative_to(source)).replace(
            "simulators", "bayesinn/simulators", folder == "simulators"
        )
        for folder in ("bayesinn", "simulators")
        for file in (source / folder).rglob("*")
        if file.is_file()
    }
    assert packed == wanted
    assert "bayesinn/py.typed" in packed


# Import


def test_import_has_no_side_effects():
    script = """
import json, logging, os, sys, threading, warnings
before = dict(os.environ), list(warnings.filters), logging.getLogger().level, threading.active_count()
import bayesinn
after = dict(os.environ), list(warnings.filters), logging.getLogger().level, threading.active_count()
heavy = ["tensorflow", "tensorflow_probability", "keras", "matplotlib", "xarray", "arviz", "pandas", "scipy", "zarr"]
print(json.dumps({
    "unchanged": before == after,
    "handlers": len(logging.getLogger().handlers) + len(logging.getLogger("bayesinn").handlers),
    "heavy": [name for name in heavy if name in sys.modules],
    "missing": [name for name in bayesinn.__all__ if name not in dir(bayesinn)],
}))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert json.loads(answer.stdout) == {
        "unchanged": True,
        "handlers": 0,
        "heavy": [],
        "missing": [],
    }
    assert answer.stderr == ""


def test_models_are_declared_without_what_only_answers_and_figures_need():
    """Keras imports pandas, Matplotlib and scikit-learn if it finds them: here it finds none."""
    script = """
import sys
absent = ["arviz", "dask", "IPython", "jinja2", "loky", "matplotlib", "pandas", "scipy.stats", "sklearn", "typer"]
sys.modules.update(dict.fromkeys([*absent, "xarray"]))
import bayesinn
bayesinn.AmortizedPosterior, bayesinn.load, bayesinn.simulator, bayesinn.get_simulator, bayesinn.Optimization
bayesinn.bijections.Coupling, bayesinn.flows.coupling, bayesinn.summaries.ConvLSTM
print("declared")
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert answer.stdout == "declared\n", answer.stderr


# The set-up script: it must find a Python that works among names that don't, and say plainly when
# there is none.


@pytest.fixture
def fake_python(tmp_path):
    """Writes an executable file of the given shell commands into a folder, and returns its path."""

    def write(folder, name, commands):
        file = tmp_path / folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{BASH}\n{commands}\n")
        file.chmod(0o755)
        return str(file)

    return write


def find_python(tmp_path, *folders, **environment):
    return subprocess.run(
        [BASH, str(SETUP_SCRIPT), "find"],
        env={"PATH": os.pathsep.join(str(tmp_path / folder) for folder in folders), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


SHIM = "echo \"pyenv: ${0##*/}: command not found\" >&2\necho 'more advice' >&2\nexit 127"


def pretend(preparation):
    """Shell commands of a Python that runs the script's question after the given preparation."""
    return (
        f'exec "{sys.executable}" -c "import sys; {preparation}; exec(sys.argv.pop(1))" "${{@:2}}"'
    )


def python_of(*version):
    return pretend(f"sys.version_info = {(*version, 0)}")


def test_setup_passes_over_shims_that_fail(tmp_path, fake_python):
    fake_python("shims", "python3.13", SHIM)
    fake_python("shims", "python3.12", SHIM)
    fake_python("shims", "python3", SHIM)
    fake_python("old", "python3", python_of(3, 11))
    works = fake_python("new", "python3.12", python_of(3, 12))
    answer = find_python(tmp_path, "shims", "old", "missing", "new")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, works + "\n", "")


def test_setup_tries_every_match_along_the_path(tmp_path, fake_python):
    fake_python("shims", "python3.13", SHIM)
    works = fake_python("new", "python3.13", python_of(3, 13))
    fake_python("shims", "python3.12", python_of(3, 12))
    assert find_python(tmp_path, "shims", "new").stdout == works + "\n"


def test_setup_finds_a_plain_name(tmp_path, fake_python):
    fake_python("one", "python3", python_of(3, 9))
    works = fake_python("one", "python", python_of(3, 12))
    assert find_python(tmp_path, "one").stdout == works + "\n"


def test_setup_says_what_each_candidate_said(tmp_path, fake_python):
    shim = fake_python("shims", "python3.13", SHIM)
    silent = fake_python("shims", "python3.12", "exit 1")
    old = fake_python("old", "python3", python_of(3, 11))
    new = fake_python("old", "python3.14", python_of(3, 14))
    bare = fake_python(
        "bare",
        "python3.12",
        pretend("sys.modules['ensurepip'] = None; sys.version_info = (3, 12, 1)"),
    )
    answer = find_python(tmp_path, "shims", "old", "bare")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[:7] == [
        "bayesinn needs Python 3.12 or 3.13, and none that works was found.",
        "Tried:",
        f"  {shim}: fails when run (exit 127): pyenv: python3.13: command not found",
        f"  {silent}: fails when run (exit 1): no message",
        f"  {bare}: is Python 3.12, but its modules venv and ensurepip are missing",
        f"  {old}: is Python 3.11, too old",
        f"  {new}: is Python 3.14, which TensorFlow 2.21 has no build for",
    ]
    assert "apt install python3.13 python3.13-venv" in answer.stderr


def test_setup_without_any_python(tmp_path):
    answer = find_python(tmp_path, "missing")
    assert answer.returncode == 1
    assert "Looked along the PATH for: python3.13 python3.12 python3 python" in answer.stderr


def test_setup_needs_no_venv_module_beside_uv(tmp_path, fake_python):
    fake_python("one", "uv", "exit 0")
    bare = fake_python(
        "one",
        "python3.12",
        pretend("sys.modules['ensurepip'] = None; sys.version_info = (3, 12, 1)"),
    )
    assert find_python(tmp_path, "one").stdout == bare + "\n"


def test_setup_takes_the_python_it_is_given(tmp_path, fake_python):
    fake_python("one", "python3.13", python_of(3, 13))
    given = fake_python("two", "mine", python_of(3, 12))
    assert find_python(tmp_path, "one", PYTHON=given).stdout == given + "\n"
    answer = find_python(tmp_path, "one", PYTHON="/nowhere/python")
    assert answer.returncode == 1
    assert "PYTHON=/nowhere/python: not found" in answer.stderr


# The files around the code


def test_contributing_stays_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 100


def test_every_folder_of_modules_is_a_package():
    folders = {
        file.parent for top in ("bayesinn", "simulators") for file in (ROOT / top).rglob("*.py")
    }
    assert [
        str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()
    ] == []


def test_commands_that_contributing_names_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"setup", "test", "demo", "format", "check", "clean"} <= targets
    assert named <= targets
