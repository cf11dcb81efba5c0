"""Numbers in pages are those of the cells that they name, and measured ones are not typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from docs.numbers import ROOT, fill, pages, problems
from docs.numbers.cells import CellError, number, read, show
from docs.numbers.page import MARK, TABLE
from docs.numbers.typed import exceptions

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}


@pytest.mark.parametrize("name", PAGES)
def test_numbers_are_those_of_their_cells(name: str) -> None:
    found = problems(PAGES[name])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", PAGES)
def test_all_that_is_made_is_made_again(name: str) -> None:
    text = PAGES[name].read_text()
    emptied = MARK.sub(lambda mark: f"<!--={mark['name']}-->", text)
    emptied = TABLE.sub(lambda block: f"{block['head']}{block['end']}", emptied)
    assert fill(emptied, PAGES[name])[0] == text


@pytest.mark.parametrize("name", PAGES)
def test_readers_see_numbers_and_tables_alone(name: str) -> None:
    text = PAGES[name].read_text()
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert shown.count("<table>") == len(re.findall(r"^\|(?:---\|)+$", text, re.MULTILINE))
    seen = re.sub(r"<[^>]+>", "", re.sub(r"<!--.*?-->", "", shown, flags=re.DOTALL))
    assert "--&gt;" not in seen
    assert "&lt;!--" not in seen
    assert not re.search(r"^\|", seen, re.MULTILINE)


def test_pages_of_every_kind_are_covered() -> None:
    folders = {name.partition("/")[0] for name in PAGES}
    assert folders == {"README.md", "docs", "tutorials", "paper", "paper_results", "benchmarks"}
    assert set(exceptions()) - {"every page"} <= set(PAGES)


def test_pages_that_are_made_are_not_covered(tmp_path: Path) -> None:
    for name in (
        "docs/index.md",
        "docs/how_to/deep/a.md",
        "docs/gallery/b.md",
        "docs/_build/html/c.md",
        "other/d.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert pages(tmp_path) == [tmp_path / "docs/how_to/deep/a.md", tmp_path / "docs/index.md"]


# Planted errors: each is put into a page in memory, and must be found on its line.


def mark(name: str, wrong: str) -> Callable[[str], str]:
    """Put another number in place of a made one."""

    def plant(text: str) -> str:
        return re.sub(rf"[-+]?[\d.,]+(?: %)?(?=<!--={name}-->)", wrong, text, count=1)

    return plant


def swapped(first: str, second: str) -> Callable[[str], str]:
    """Exchange two made numbers."""

    def plant(text: str) -> str:
        numbers = {found["name"]: found["number"] for found in MARK.finditer(text)}
        return mark(second, numbers[first])(mark(first, numbers[second])(text))

    return plant


def rows(table: str, change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Change the rows of the first table that is made from a file, or by a function."""

    def plant(text: str) -> str:
        block = next(found for found in TABLE.finditer(text) if found["spec"].startswith(table))
        lines = block[0].splitlines()
        first = next(place for place, line in enumerate(lines) if line.startswith("|---")) + 1
        last = max(place for place, line in enumerate(lines) if line.startswith("|")) + 1
        lines[first:last] = change(lines[first:last])
        return text.replace(block[0], "\n".join(lines))

    return plant


def digit(lines: list[str]) -> list[str]:
    """Change the last digit of the second row."""
    place = max(found.start() for found in re.finditer(r"\d", lines[1]))
    other = str((int(lines[1][place]) + 1) % 10)
    return [lines[0], lines[1][:place] + other + lines[1][place + 1 :], *lines[2:]]


def copied(lines: list[str]) -> list[str]:
    """Give the third row the last number of the fourth."""
    cells = lines[2].split("|")
    cells[-2] = lines[3].split("|")[-2]
    return [*lines[:2], "|".join(cells), *lines[3:]]


def exchanged(lines: list[str]) -> list[str]:
    return [lines[1], lines[0], *lines[2:]]


def shortened(lines: list[str]) -> list[str]:
    return lines[:-1]


def typed(old: str, new: str) -> Callable[[str], str]:
    """Replace words of the page."""

    def plant(text: str) -> str:
        return text.replace(old, new, 1)

    return plant


SIR = "paper_results/sir_germany/README.md"
TISSUE = "paper_results/multispectral/README.md"
COVID = "paper_results/covid19_germany/README.md"
DEFAULTS = "paper_results/sbibm/training/README.md"
PEERS = "benchmarks/peers/README.md"
PLANTED = [
    # What the earlier check let pass.
    ("README.md", mark("shift", "0.050")),
    (COVID, mark("short", "4")),
    (COVID, mark("ks_germany", "0.016")),
    (TISSUE, rows("", copied)),
    # Another digit, a percentage, thousands, a sign, a count.
    (COVID, mark("c2st_worst", "0.877")),
    (COVID, mark("later_in_50", "57 %")),
    ("README.md", mark("slowest", "62")),
    (COVID, mark("told", "1")),
    (COVID, mark("plain_nll", "5.37")),
    (COVID, mark("own_simulations", "927,800")),
    (COVID, mark("infeasible_carriers", "8 %")),
    (COVID, mark("near", "19")),
    # Numbers that are in the table, but in another cell.
    (COVID, swapped("nrw_l0_ours", "nrw_l0_published")),
    ("README.md", swapped("ours", "bayesflow")),
    (COVID, swapped("c2st_germany", "c2st_simulated")),
    # Tables: a digit, rows exchanged, a row left out, a function's table.
    ("README.md", rows("paper_results/sbibm/tables.py overview", digit)),
    (SIR, rows("results.csv", digit)),
    (COVID, rows("exact_summary.csv", exchanged)),
    (COVID, rows("networks.csv", shortened)),
    (COVID, rows("tables.py results", digit)),
    (PEERS, rows("report.py", exchanged)),
    (DEFAULTS, rows("tables.py variants", digit)),
    # Every kind of page.
    ("docs/how_to/drift_diffusion.md", mark("v", "0.17")),
    ("docs/how_to/cluster.md", mark("faster", "19")),
    ("docs/tissue.md", mark("deviations", "0.5")),
    ("tutorials/04_choosing_a_network.md", mark("kept_xla", "139")),
    ("tutorials/04_choosing_a_network.md", rows("benchmarks/tables.py", digit)),
    ("tutorials/05_covid19_germany.md", mark("spike", "12,019")),
    (PEERS, mark("weights_sbi", "128,940")),
    # Words.
    ("README.md", typed("within tolerance<!--=grade-->", "undecided<!--=grade-->")),
    ("docs/accuracy.md", typed("behind<!--=ratio_is-->", "ahead of<!--=ratio_is-->")),
    ("docs/accuracy.md", typed("behind<!--=ratio_is--> the", "ahead of the")),
    ("README.md", typed("within tolerance<!--=grade-->: over", "undecided: over")),
    # Typed: in a text, in a table, and in place of what may be typed.
    ("README.md", typed("## Learn\n", "## Learn\n\nTraining takes 7 minutes.\n")),
    ("README.md", typed("MIT licence.", "It is 3.5 times as fast. MIT licence.")),
    ("docs/features.md", typed("Not here yet:", "It finds 93 % of faults. Not here yet:")),
    ("docs/compilation.md", typed("| never |", "| never, 41 ms |")),
    ("docs/how_to/simulation_banks.md", typed("at most 65,536", "at most 131,072")),
    ("tutorials/07_which_test_sees_which_fault.md", typed("a factor of 1.15", "a factor of 1.25")),
    (
        "tutorials/02_your_own_simulator.md",
        typed("# Your own simulator", "# Your own simulator\n\nC takes 20,480 s.\n"),
    ),
    ("paper_results/two_moons/README.md", typed("0.725 after 1,000", "0.625 after 1,000")),
]


@pytest.mark.parametrize("place", range(len(PLANTED)))
def test_planted_errors_are_found(place: int) -> None:
    name, plant = PLANTED[place]
    text = PAGES[name].read_text()
    wrong = plant(text)
    assert wrong != text, "nothing was planted"
    lines = zip(text.splitlines(), wrong.splitlines(), strict=False)
    line = next(number for number, (old, new) in enumerate(lines, 1) if old != new)
    found = [
        what for what in problems(PAGES[name], text=wrong) if what.startswith(f"{name}:{line}: ")
    ]
    assert any("run make numbers" in what or "is typed" in what for what in found)


def test_there_are_enough_planted_errors() -> None:
    assert len(PLANTED) >= 20


def test_a_stale_number_is_named_with_its_cell() -> None:
    text = mark("refined", "0.9")(PAGES["README.md"].read_text())
    (found,) = problems(PAGES["README.md"], text=text)
    assert re.fullmatch(
        r"README\.md:\d+: 0\.9 should be 0\.\d+ \(refined: data=germany \| after \| \.3f of "
        r"paper_results/refinement/runs\.csv\); run make numbers",
        found,
    )


@pytest.mark.parametrize(
    ("grades", "said"),
    [
        (["within", ""], "within tolerance"),
        (["within", "undecided", "no upper bound"], "undecided"),
        (["undecided", "outside", "flagged"], "outside tolerance"),
    ],
)
def test_the_worst_grade_is_said(tmp_path: Path, grades: list[str], said: str) -> None:
    rows = "\n".join(f"check {place},{grade}" for place, grade in enumerate(grades))
    (tmp_path / "verdict.csv").write_text(f"check,grade\n{rows}\n")
    page = "It is within\ntolerance<!--=g-->.\n\n<!-- numbers\nverdict.csv\ng = * | grade | grade\n-->\n"
    filled, wrong = fill(page, tmp_path / "page.md", tmp_path)
    assert wrong == []
    assert filled.startswith(f"It is {said}<!--=g-->.")


@pytest.mark.parametrize(
    ("value", "word"), [(0.01, "behind"), (-0.001, "level with"), (-0.01, "ahead of")]
)
def test_a_difference_is_said_in_words(value: float, word: str) -> None:
    assert show(value, "behind / level with / ahead of 0.002") == word


# The language, on a page of its own.

PAGE = """# Speed

A step takes 4.3<!--=step--> ms, {words}.

<!-- numbers
speed.csv
step = network=small & batch<100 | ms | .1f
{more}
-->
"""
CSV = """network,batch,ms,share,text
small,64,4.2549,0.2512,at most 0.039 sd; at most 3.8 %
small,512,9.5,0.5,
large,64,12345.6,,"1,234 to 2,000"
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "speed.csv").write_text(CSV)
    return tmp_path / "page.md"


def made(page: Path, cell: str) -> str:
    """Return what a page makes of one cell."""
    text, wrong = fill(PAGE.format(words="0<!--=other-->", more=f"other {cell}"), page, page.parent)
    assert not wrong
    return MARK.findall(text)[1][0]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("= network=small & batch=512 | ms | .2f", "9.50"),
        ("= large | ms | ,.0f", "12,346"),
        ("= large | ms | 2s", "12,000"),
        ("= network=small & batch=64 | ms | 2s", "4.3"),
        ("= network=small & batch=64 | share | .1%", "25.1 %"),
        ("= network=small & batch=64 | share | .0f x100", "25"),
        ("= network=small & batch=64 | share | +.2f", "+0.25"),
        ("= network=small & batch=64 | text ~ at most {} sd | .3f", "0.039"),
        ("= network=small & batch=64 | text ~ ... sd; at most {} % | .1f", "3.8"),
        ("= large | text ~ {} to | ,d", "1,234"),
        ("= network!=large | max of ms | .1f", "9.5"),
        ("= ms>5 | min of batch | d", "64"),
        ("= * | mean of share | .4f", "0.3756"),
        ("= small | count | d", "2"),
        (":= 2 * step + max(step, 1) | .2f", "12.76"),
        (":= -step ** 2 | .1f", "-18.1"),
    ],
)
def test_cells_and_formats(page: Path, cell: str, shown: str) -> None:
    assert made(page, cell) == shown


@pytest.mark.parametrize(
    ("cell", "wrong"),
    [
        ("= medium | ms | .2f", "no row 'medium'"),
        ("= small | ms | .2f", "2 rows 'small'"),
        ("= large | seconds | .2f", "no column 'seconds'"),
        ("= large | share | .2f", "'' is no number"),
        ("= large | text ~ at most {} sd | .2f", "fits 0 places"),
        ("= network=small & batch=64 | text ~ at most {} | .2f", "fits 2 places"),
        ("= large | ms | words", "no format 'words'"),
        ("= large | ms | ", "no format ''"),
        ("= large | ms", "neither name = row | column | format"),
        (":= missing / 2 | .2f", "no such number is declared"),
        (":= __import__('os') | .2f", "can't calculate"),
    ],
)
def test_cells_that_are_not_there_are_errors(page: Path, cell: str, wrong: str) -> None:
    text = PAGE.format(words="0<!--=other-->", more=f"other {cell}")
    filled, found = fill(text, page, page.parent)
    assert any(wrong in what for what in found), found
    assert "0<!--=other-->" in filled


def test_files_names_and_uses_are_checked(page: Path) -> None:
    text = PAGE.format(
        words="twice",
        more="step = large | ms | d\nunused = large | ms | d\nnowhere.csv\nx = * | a | d",
    )
    _, found = fill(text + "0<!--=x-->", page, page.parent)
    assert found == [
        "step: declared twice",
        "x: no file nowhere.csv",
        "unused: declared, but not used",
    ]


def test_numbers_are_put_where_there_are_none(page: Path) -> None:
    text = PAGE.format(words="more", more="").replace("4.3<!--", "<!--")
    filled, _ = fill(text, page, page.parent)
    assert "takes 4.3<!--=step--> ms" in filled
    # A range with a hyphen is no negative number.
    assert "1-4.3<!--" in fill(text.replace("takes ", "takes 1-9"), page, page.parent)[0]


def test_what_tutorials_print_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(
        '{"cells": [{"text": "", "figures": []}, {"text": "floor   1.7393 nat\\nnetwork 0.0100 '
        'nat"}]}'
    )
    assert read(file).value("cell=1", "text ~ floor {} nat") == 1.7393
    assert read(file).value("1", "text ~ network {} nat") == 0.01


def test_tables_are_made_of_columns(page: Path) -> None:
    spec = """speed.csv
network | kind = {network}
ms = {ms | .1f} ± {share | .2f}
batch = {batch}
rows: batch=64
small → few | dense
large → many | sparse"""
    filled, wrong = fill(f"<!--= table: {spec}\n-->\n| old |\n<!-- end -->\n", page, page.parent)
    assert not wrong
    rows = [line for line in filled.splitlines() if line.startswith("|")]
    assert rows == [
        "| network | kind | ms | batch |",
        "|---|---|---|---|",
        "| few | dense | 4.3 ± 0.25 | 64 |",
        "| many | sparse | | 64 |",
    ]
    everything, _ = fill(
        "<!--= table: speed.csv\nnumbers: .2g\n-->\n<!-- end -->\n", page, page.parent
    )
    assert "| small | 64 | 4.3 | 0.25 | at most 0.039 sd; at most 3.8 % |" in everything


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ("nowhere.csv", "no file nowhere.csv"),
        ("speed.csv\nms = {seconds}", "no column 'seconds'"),
        ("speed.csv\nrows: batch=1", "no row 'batch=1'"),
        ("speed.csv\nwords", "neither heading"),
        ("nowhere.py rows", "no file nowhere.py"),
    ],
)
def test_tables_that_can_not_be_made_are_errors(page: Path, spec: str, wrong: str) -> None:
    _, found = fill(f"<!--= table: {spec}\n-->\n<!-- end -->\n", page, page.parent)
    assert len(found) == 1
    assert wrong in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "It takes 3.5 of them.",
        "It takes 12,000 of them.",
        "It takes 25000 of them.",
        "It takes 5e-4 of them.",
        "45 nats",
        "45\nnats",
        "20 to 25 nats",
        "75 % of them",
        "between 10 and 13 % of them",
        "| a | 7 |",
        "| a | 0.5 ± 0.1 |",
    ],
)
def test_measured_numbers_are_not_typed(page: Path, text: str) -> None:
    found = problems(page, page.parent, f"# Page\n\n{text}\n")
    assert found
    assert all("is typed: name its cell" in what for what in found)


@pytest.mark.parametrize(
    "text",
    [
        "Two of 34 parameters, seed 1, 8 bands, in 2020, section 6, 3 x 81 counts.",
        "`print(3.14159)`, [a link](x.y/9.99), arXiv:2010.00300, version 2.21.0, https://x.org/1.5",
        "```python\nrate = 7.77\n```",
        "    python run.py --rate 7.77",
        "<!-- 3.5 was measured -->",
        "Python 3.12 or 3.13 and a 95 % interval",
        "1. First, 2. second",
    ],
)
def test_other_numbers_may_be_typed(page: Path, text: str) -> None:
    assert problems(page, page.parent, f"# Page\n\n{text}\n") == []


def test_numbers_of_text_are_read() -> None:
    assert number("1,234.5") == 1234.5
    assert show(0.0, "2s") == "0.0"
    with pytest.raises(CellError, match="is no number"):
        number("many")
