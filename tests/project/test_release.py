"""What a stranger reads and gets first: README, changes, links, citations, licences."""

from __future__ import annotations

import configparser
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import bayesinn
from docs.pages import execute
from scripts import released
from scripts.release import repacked

ROOT = Path(__file__).resolve().parents[2]
_CODE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?P<path>[^)\s]+)\)|<img src=\"(?P<image>[^\"]+)\"")
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.splitlines()
# Links of the documentation lead to pages that it makes: its build checks them.
PAGES = [name for name in TRACKED if name.endswith(".md") and not name.startswith("docs/")]


def test_readme_fits_a_few_screens_and_shows_the_code_of_the_landing_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert _CODE.findall(text) == _CODE.findall((ROOT / "docs" / "index.md").read_text())


def test_changes_are_told_in_80_lines_and_none_of_what_was_never_released() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if line.startswith("#") and "Changed" in line]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files(name: str) -> None:
    file = ROOT / name
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
    missing = []
    for link in _LINK.finditer(text):
        path = (link["path"] or link["image"]).partition("#")[0]
        if path and ":" not in path and not (file.parent / path).exists():
            missing.append(path)
    assert missing == []


# Citations and licences


def test_paper_cites_what_its_bibliography_has() -> None:
    text = (ROOT / "paper" / "paper.md").read_text().partition("\n---\n")[2]
    entries = (ROOT / "paper" / "paper.bib").read_text().split("\n@")
    keys = {re.search(r"\{(\w+),", entry)[1]: entry for entry in entries}  # type: ignore[index]
    cited = set(re.findall(r"@(\w+)", text))
    assert cited == set(keys)
    assert [
        key for key, entry in keys.items() if not re.search(r"(doi|eprint) = \{\d", entry)
    ] == []
    for part in ("Summary", "Statement of need", "State of the field", "References"):
        assert f"\n# {part}\n" in text
    assert 700 < len(text.split()) < 1750


def test_version_licence_and_words_are_the_same_everywhere() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    described = settings["metadata"]
    stated = json.loads((ROOT / "codemeta.json").read_text())
    assert stated["version"] == bayesinn.__version__
    assert stated["description"] == described["description"]
    assert stated["license"].endswith(f"/{described['license']}")
    cited = (ROOT / "CITATION.cff").read_text()
    for word in stated["keywords"]:
        assert f"  - {word}\n" in cited
    assert f"\nlicense: {described['license']}\n" in cited


def test_data_files_have_source_and_licence_beside_them() -> None:
    data = ROOT / "simulators" / "data"
    stated = (data / "README.md").read_text()
    assert [file.name for file in data.glob("*.csv") if f"`{file.name}`" not in stated] == []
    for words in ("CC BY 4.0", "BSD-3-Clause", "German Cancer Research Center"):
        assert words in stated
    # Numbers of others are cited in the page of the study.
    for name in (one for one in TRACKED if Path(one).name == "published.csv"):
        page = (ROOT / name).with_name("README.md").read_text()
        assert re.search(r"arXiv|doi\.org|et al\.", page), name
    assert (ROOT / "docs" / "_static" / "mathjax" / "LICENSE").is_file()


def test_workflows_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+)(?:[ a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    targets |= {"test-all", "durations"}
    for name in ("tests", "weekly"):
        workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
        commands = [
            step["run"]
            for job in workflow["jobs"].values()
            for step in job["steps"]
            if "run" in step
        ]
        called = {
            word
            for command in commands
            for line in command.splitlines()
            if line.startswith("make ")
            for word in line.split()[1:]
            if re.fullmatch("[a-z-]+", word)
        }
        assert called
        assert called <= targets


# Artifacts


def required() -> list[Requirement]:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].strip().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_lowest_versions_are_the_bounds() -> None:
    """Those of Python 3.12, where a bound is too low for 3.13."""
    pinned: dict[str, Version] = {}
    for line in (ROOT / "constraints-lowest.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            pinned.setdefault(canonicalize_name(requirement.name), Version(specifier.version))
    for requirement in required():
        bounds = [one.version for one in requirement.specifier if one.operator == ">="]
        assert list(map(Version, bounds)) == [pinned[canonicalize_name(requirement.name)]]


def test_recipe_requires_what_the_library_requires() -> None:
    recipe = (ROOT / "packaging" / "meta.yaml").read_text()
    run = re.findall(
        r"^    - (\S+)(?: (\S+))?$", recipe.split("  run:")[1].split("\ntest:")[0], re.M
    )
    found = {name.replace("matplotlib-base", "matplotlib"): bounds for name, bounds in run}
    assert found.pop("python") == ">=3.12,<3.14"
    # An extra of TensorFlow Probability.
    assert found.pop("tf-keras") == ""
    wanted = {one.name: one.specifier for one in required()}
    assert {name: str(Requirement(name + found[name]).specifier) for name in found} == {
        name: str(specifier) for name, specifier in wanted.items()
    }


def test_packed_files_have_no_time_owner_or_order_of_their_build() -> None:
    def packed(names: str, time: int) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 1
                member.mtime = member.uid = time
                archive.addfile(member, io.BytesIO(name.encode()))
        return stream.getvalue()

    made = repacked(packed("ab", 1), epoch=7)
    assert made == repacked(packed("ba", 2), epoch=7)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        assert [(one.name, one.mtime, one.uid) for one in archive] == [("a", 7, 0), ("b", 7, 0)]


@pytest.mark.parametrize("name", [one for one in TRACKED if re.match(r"tutorials/\d", one)])
def test_notebooks_have_outputs_and_lead_nowhere_else(name: str) -> None:
    notebook = execute.as_notebook(ROOT / name)
    nbformat.validate(notebook)
    written = nbformat.writes(notebook)
    assert len(written) < 1.5e6
    assert any("image/png" in str(cell.get("outputs")) for cell in notebook.cells)
    text = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"\]\((?!http|#)", text) == []
    # The same twice: random names of cells would change a site with every build.
    assert written == nbformat.writes(execute.as_notebook(ROOT / name))
    assert json.loads(written)["nbformat"] == 4


# What releases wrote


def test_what_releases_wrote_is_all_there_and_small() -> None:
    folders = [path for path in (ROOT / "tests" / "released").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        names = {file.name for file in folder.iterdir()}
        wanted = {f"{kind}{end}" for kind in released.WRITTEN for end in (".npz", ".tar.xz")}
        assert names >= wanted
        assert sum(file.stat().st_size for file in folder.iterdir()) < 1e6


def test_some_of_what_releases_wrote_answers_as_before() -> None:
    assert released.check(["bank", "likelihood"]) == []


@pytest.mark.slow
def test_all_that_releases_wrote_answers_as_before_in_a_fresh_process() -> None:
    command = [sys.executable, "-m", "scripts.released", "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": loaded") >= len(released.WRITTEN)
