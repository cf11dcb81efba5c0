"""Numbers in README, tutorials and reports of results are those of committed tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.project.numbers import has, numbers

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("tutorials/*.md")), *sorted(ROOT.glob("paper_results/*/README.md"))]

PYTHON, SETTING, KNOWN = "a version of Python", "a setting of the page or of its script", "follows from a formula"
PUBLISHED, DATA = "published by others, with its source beside it", "in the data"
DERIVED, TESTED = "difference or mean of numbers in the table", "noted beside the bound of a test"
#: Numbers that no table has, by page, and why.
EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "README.md": {
        "3.12": PYTHON,
        "3.13": PYTHON,
    },
    "tutorials/01_first_posterior.md": {"0.5": SETTING, "1.5": SETTING, "0.01": KNOWN, "0.07": SETTING},
    "tutorials/02_can_i_trust_it.md": {"1.15": SETTING, "-0.75": KNOWN, "0.69": KNOWN, "1.5": SETTING},
    "tutorials/04_covid19_germany.md": {"10,219": DATA},
    "paper_results/covid19_germany/README.md": {"75,000": PUBLISHED},
    "paper_results/defaults/README.md": dict.fromkeys(("2.156", "2.154", "4,255"), DERIVED),
    "paper_results/densities_2d/README.md": dict.fromkeys(
        ("1.69844", "2.83188", "3.46574", "1.00758", "3.53102"), KNOWN
    ),
    "paper_results/diagnostics_power/README.md": {"1.15": SETTING, "0.095": KNOWN},
    "paper_results/gin_artificial/README.md": {"1.2": DERIVED},
    "paper_results/split_latent/README.md": {
        "0.05": SETTING,
        "0.9": SETTING,
        "0.02": SETTING,
        "1.3": DERIVED,
        "0.00054": KNOWN,
    },
    "paper_results/two_moons/README.md": {
        **dict.fromkeys(("0.725", "0.606", "0.542"), PUBLISHED),
        "-3.7927": KNOWN,
        "5.1": SETTING,
    },
}


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("name", names(PAGES))
def test_numbers_are_in_a_table(name: str) -> None:
    known = EXCEPTIONS.get(name, {})
    missing = [
        f"{number.text} in {number.block[:60]!r}"
        for number in numbers(ROOT / name, ROOT)
        if number.text not in known and not has(number)
    ]
    assert not missing, "give each a CSV that the paragraph names, or delete it"


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_needed(name: str) -> None:
    needed = {number.text for number in numbers(ROOT / name, ROOT) if not has(number)}
    assert set(EXCEPTIONS[name]) <= needed, "no longer in the page, or in a table now: delete the exception"


# The checker itself.

TEXT = """# Speed

Measured by `benchmarks/speed.py`: {speed} ms a step, {share} of it in the flow, over 10,000 steps.

| network | draws/s |
|---|---|
| small | {draws} |

## Other

`print(3.14159)` and [a link](x.y/9.99) are no numbers of the page, nor is arXiv:2010.00300 or version 2.21.0.

```python
rate = 7.77
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "speed.csv").write_text('speed,share,draws\n"4.2549 [3.1, 5.0]",0.2512,61234\n')
    return tmp_path / "page.md"


def missing(page: Path, **values: str) -> list[str]:
    filled = {"speed": "4.25", "share": "25.1 %", "draws": "61,000"} | values
    page.write_text(TEXT.format(**filled))
    return [number.text for number in numbers(page, page.parent) if not has(number)]


def test_numbers_that_are_there_are_found(page: Path) -> None:
    assert not missing(page)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [("speed", "4.27"), ("speed", "4.2"), ("speed", "4.2551"), ("share", "25.3 %"), ("draws", "62,000")],
)
def test_numbers_that_are_not_there_are_missing(page: Path, place: str, wrong: str) -> None:
    assert missing(page, **{place: wrong}) == [wrong]


def test_percentages_need_their_sign(page: Path) -> None:
    assert missing(page, share="25.1") == ["25.1"]


def test_tables_of_another_section_do_not_count(page: Path) -> None:
    text = TEXT.format(speed="4.25", share="25.1 %", draws="61,000")
    page.write_text(text + "\nIt takes 4.25 ms.\n")
    assert [number.text for number in numbers(page, page.parent) if not has(number)] == ["4.25"]


def test_a_missing_table_is_no_excuse(page: Path) -> None:
    (page.parent / "benchmarks" / "speed.csv").unlink()
    assert missing(page) == ["4.25", "25.1 %", "61,000"]
