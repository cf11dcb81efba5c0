"""Numbers in the README and in tutorials are those of the CSV files that scripts wrote."""

import re

import pandas as pd
import pytest

from docs.pages import measurements
from docs.pages.links import ROOT

README, NETWORKS = ROOT / "README.md", ROOT / "tutorials" / "03_choosing_a_network.md"


def table(file, head):
    """Return the rows, each a list of cells, of the table whose head contains some words."""
    lines = file.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|") and head in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def check(cell, *values):
    """Check that a cell has these values, rounded to as many places as it shows."""
    numbers = [number.replace(",", "") for number in re.findall(r"-?[\d,]+\.?\d*", cell)]
    assert len(numbers) == len(values), f"{cell!r} should show {values}"
    for number, value in zip(numbers, values, strict=True):
        places = len(number.partition(".")[2])
        # 110,000 is a number of two digits.
        zeros = 10 ** (len(number) - len(number.rstrip("0"))) if not places else 1
        assert abs(float(number) - value) <= 0.501 * zeros * 10.0**-places, f"{cell!r} should show {values}"


def test_a_wrong_number_is_found():
    check("0.4004 ± 0.0452", 0.40041, 0.04515)
    check("110,000", 112_000)
    for cell, value in (("0.40", 0.41), ("110,000", 116_000), ("3.5", 3.4)):
        with pytest.raises(AssertionError):
            check(cell, value)


def test_demonstration():
    results = pd.read_csv(ROOT / "paper_results" / "sir_germany" / "results.csv")
    rows = table(README, "exact, mean ± sd")
    assert len(rows) == len(results)
    for (*_, ours, exact), (_, result) in zip(rows, results.iterrows(), strict=True):
        check(ours, result["ours: mean"], result["ours: sd"])
        check(exact, result["exact: mean"], result["exact: sd"])


#: Networks as tutorials call them, and as the CSV files do.
NAMES = {
    "affine coupling, 8 blocks": "affine coupling, 8 blocks",
    "affine, then spline; coupling, 4 blocks": "spline coupling, 4 blocks",
    "affine, then spline; hint, 4 blocks": "spline hierarchical, 4 blocks",
    "affine, then spline; autoregressive, 4 blocks": "spline autoregressive, 4 blocks",
    "residual, 10 blocks": "residual, 10 blocks",
}


def test_densities():
    results = measurements.densities().set_index("network")
    for name, *cells in table(NETWORKS, "checkerboard"):
        for cell, column in zip(cells, ("8 modes", "checkerboard", "moons", "crescent", "minutes"), strict=True):
            check(cell, results.loc[NAMES[name], column])


def test_speed_of_flows():
    results = measurements.flow_speed().set_index("flow")
    columns = [f"{what}, {size} parameters" for what in ("ms/step", "draws/s") for size in (2, 16)]
    rows = table(NETWORKS, "draws/s")
    assert [name for name, *_ in rows] == list(results.index)
    for name, *cells in rows:
        for cell, column in zip(cells, columns, strict=True):
            check(cell, results.loc[name, column])


def test_two_moons():
    results = measurements.two_moons()
    rows = table(ROOT / "paper_results" / "two_moons" / "README.md", "benchmark's reference")
    for cells, (_, result) in zip(rows, results.iterrows(), strict=True):
        for cell, value in zip(cells[1:], result[1:], strict=True):
            check(cell.strip("*"), value)
