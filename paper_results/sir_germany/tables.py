"""The sentence of README.md on ranks, from facts.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_SYMBOLS = {"lambda": "λ", "mu": "μ", "delay": "L", "I0": "I₀", "psi": "ψ"}


def ranks() -> str:
    """Return which parameters leave the band of SBC."""
    facts = pd.read_csv(Path(__file__).parent / "facts.csv", index_col="fact")["value"]
    names = [_SYMBOLS[name] for name in str(facts["parameters outside of it"]).split()]
    inside = int(facts["parameters inside the 99 % band of SBC"])
    if not names:
        return (
            "Ranks of all parameters stay inside the simultaneous 99 % band ([sbc.png](sbc.png))."
        )
    verb = "leave" if len(names) > 1 else "alone leave"
    return (
        f"Ranks of {' and '.join(names)} {verb} the simultaneous 99 % band ([sbc.png](sbc.png)); "
        f"those of the other {inside} stay inside."
    )
