"""Tables of README.md, and of the tutorial that chooses a network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.cells import show
from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
DENSITIES = ("8 modes", "8 Gaussians", "checkerboard", "moons", "crescent")
#: Networks in the words of the tutorial.
CHOICES = {
    "affine coupling, 8 blocks": "affine coupling, 8 blocks",
    "spline coupling, 4 blocks": "affine, then spline; coupling, 4 blocks",
    "spline hierarchical, 4 blocks": "affine, then spline; hint, 4 blocks",
    "spline autoregressive, 4 blocks": "affine, then spline; autoregressive, 4 blocks",
    "residual, 10 blocks": "residual, 10 blocks",
}


def entropies() -> str:
    """Return the entropy of each density."""
    floors = _results().groupby("density")["floor"].first()
    row = ["entropy, nats", *(f"{floors[name]:.4f}" for name in DENSITIES)]
    return markdown(["density", *DENSITIES], [row])


def gaps() -> str:
    """Return the gap of each network to each entropy ± standard error, the smallest in bold."""
    table = _results()
    least = table.groupby("density")["gap"].min()
    rows = []
    for network, own in table.groupby("network", sort=False):
        cells = []
        for name in DENSITIES:
            gap = own[own["density"] == name].iloc[0]
            text = f"{gap['gap']:.4f}"
            text = f"**{text}**" if gap["gap"] == least[name] else text
            # Those of the crescent are as large as the last digit.
            error = "" if name == "crescent" else f" ± {gap['standard error']:.4f}"
            cells.append(text + error)
        rows.append([network, *cells])
    return markdown(["network", *DENSITIES], rows)


def costs() -> str:
    """Return what each network costs: range over densities, and median."""
    rows = []
    for network, own in _results().groupby("network", sort=False):
        shown = dict.fromkeys(
            show(own["processor minutes"].agg(kind), ".1f") for kind in ("min", "max")
        )
        speed = show(own["draws / s"].median(), "2s")
        rows.append([network, f"{own['weights'].iloc[0]:,}", " to ".join(shown), speed])
    return markdown(["network", "weights", "training, minutes of processor time", "draws/s"], rows)


def choices() -> str:
    """Return gaps and minutes of the networks that the tutorial has."""
    table = _results()
    names = [name for name in DENSITIES if name != "8 Gaussians"]
    rows = []
    for network, words in CHOICES.items():
        own = table[table["network"] == network].set_index("density")
        digits = [".4f" if name == "crescent" else ".3f" for name in names]
        cells = [show(own.loc[name, "gap"], form) for name, form in zip(names, digits, strict=True)]
        rows.append([words, *cells, show(own["processor minutes"].mean(), ".1f")])
    return markdown(["network", *names, "minutes"], rows)


def _results() -> pd.DataFrame:
    return pd.read_csv(HERE / "results.csv")
