"""Figures that tables suffice for are those of the tables."""

from pathlib import Path

import pytest

from bayesinn import plots
from docs.figures import FIGURES
from docs.pages.links import ROOT


@pytest.mark.parametrize("name", FIGURES)
def test_drawn_again_it_is_the_same_file(name: str, tmp_path: Path) -> None:
    drawn = plots.save(FIGURES[name](), tmp_path / "figure.svg")
    remedy = f"run python -m docs.figures {name}"
    assert drawn.read_bytes() == (ROOT / name).read_bytes(), remedy
