"""What a stranger reads and gets first: README, changes, links, citations, licences."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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
