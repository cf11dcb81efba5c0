"""The German forecast with amortized, refined and exact draws: shares of counts inside of bands.

    python paper_results/refinement/predict.py

Simulates on from the draws that run.py has kept (draws/covid19.npz), with regular noise. Writes
forecast.csv and bands.csv, from which tables.py draws forecast.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayesinn.simulators.covid19 import VARIANTS, germany
from bayesinn.simulators.covid19_options import FIT_DAYS

sys.path.append(str(Path(__file__).resolve().parents[1] / "covid19_germany"))

from forecast import BANDS, DAYS, predict, share_inside

HERE = Path(__file__).resolve().parent
SIDES = ("amortized", "refined", "exact")
#: Of the bands, from the lowest to the highest.
LEVELS = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)


def main() -> None:
    """Simulate on, count, write."""
    observed = germany(DAYS)
    shares = []
    bands = []
    with np.load(HERE / "draws" / "covid19.npz") as arrays:
        sides = {
            side: {
                name.partition("/")[2]: arrays[name]
                for name in arrays.files
                if name.startswith(f"{side}/")
            }
            for side in SIDES
        }
    for side, draws in sides.items():
        predicted, infeasible = predict(draws, VARIANTS["covid19_regular"], DAYS)
        for days, part in (("fit", slice(0, FIT_DAYS)), ("forecast", slice(FIT_DAYS, DAYS))):
            for series in (*predicted, "all"):
                some = {key: predicted[key] for key in predicted if series in (key, "all")}
                row: dict[str, object] = {"draws": side, "days": days, "series": series}
                row |= {
                    f"inside {band:.0%}": share_inside(some, observed, part, band)
                    for band in BANDS[::-1]
                }
                ends = [
                    np.quantile(counts[:, part], [0.05, 0.95], axis=0) for counts in some.values()
                ]
                row["mean width of 90%"] = float(np.mean([high - low for low, high in ends]))
                row["infeasible"] = infeasible
                shares.append(row)
        for series, values in predicted.items():
            for total, counts in (("daily", values), ("total", values.cumsum(axis=1))):
                seen = observed[series] if total == "daily" else observed[series].cumsum()
                table = pd.DataFrame(
                    np.quantile(counts, LEVELS, axis=0).T, columns=[f"{x:g}" for x in LEVELS]
                )
                head = {"draws": side, "series": series, "kind": total}
                bands.append(table.assign(**head, day=range(len(seen)), observed=seen))
    pd.DataFrame(shares).to_csv(HERE / "forecast.csv", index=False, float_format="%.4g")
    pd.concat(bands).to_csv(HERE / "bands.csv", index=False, float_format="%.5g")
    print(pd.DataFrame(shares).to_string(index=False))


if __name__ == "__main__":
    main()
