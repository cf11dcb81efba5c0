"""What becomes of the German posterior when parts of the model are taken away, one by one.

    python paper_results/covid19_germany/ablations.py [--minutes M] [--quick]

Trains the full model, and without carriers, interventions or the observation model, for M minutes
of processor time each (4 if left out). Writes ``ablations.csv``, ``ablations_bands.csv`` and
``ablations.png`` beside this file: medians, calibration on 1,000 simulated data sets, and how the model fits the 81 days and
forecasts the 21 after. Without the observation model there is no noise, so that its networks are
those that do not fit the model. ``--quick`` trains the smallest model for a few steps, to check
that it runs, and writes nothing that stays.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from forecast import DAYS, banded, predict, share_inside
from networks import arguments, train_for
from predicted import draw_ablations
from shared import SEED
from train import HERE, options_of

import bayesinn as bi
from bayesinn import plots
from bayesinn.diagnostics import sbc
from bayesinn.simulators import covid19
from bayesinn.simulators.covid19_networks import lean_networks
from bayesinn.simulators.covid19_options import FIT_DAYS

MODELS = {
    "full": "covid19",
    "no carriers": "covid19_no_carrier",
    "no interventions": "covid19_no_interventions",
    "no observation model": "covid19_no_observation_model",
}
SHOWN = ("lambda0", "alpha", "E0", "gamma", "L_I", "L_R")
DRAWS = 5_000
DATA_SETS = 1_000
RANK_DRAWS = 250


def main() -> None:
    """Train all, write table and figure."""
    given = arguments(__doc__, minutes=4.0).parse_args()
    rows: list[dict[str, Any]] = []
    bands = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if given.quick else HERE
        for label in list(MODELS)[-1:] if given.quick else MODELS:
            simulator = getattr(covid19, MODELS[label])
            make = functools.partial(lean_networks, options_of(MODELS[label]))
            posterior, found = train_for(
                given.minutes, simulator, make, Path(folder), quick=given.quick
            )
            row, predicted = _judge(posterior, given.quick)
            seen = covid19.germany(DAYS)["confirmed"]
            bands.append(banded(predicted["confirmed"], seen, model=label))
            rows.append({"model": label, "steps": int(found["step"]), **row})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
            pd.DataFrame(rows).to_csv(target / "ablations.csv", index=False, float_format="%.4g")
        table = pd.concat(bands)
        table.to_csv(target / "ablations_bands.csv", index=False, float_format="%.4g")
        plots.save(draw_ablations(table), target / "ablations.png")


def _judge(
    posterior: bi.AmortizedPosterior, quick: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A row of the table, and the counts that are predicted for Germany."""
    simulator = posterior.simulator
    simulations = simulator.sample(100 if quick else DATA_SETS, seed=SEED + 2)
    data = {name: simulations[name] for name in simulator.observable_shapes}
    draws = dict(posterior.sample(data, draws=20 if quick else RANK_DRAWS, seed=SEED + 3))
    ranks = sbc({name: simulations[name] for name in draws}, draws, seed=SEED)
    answer = posterior.sample(covid19.germany(), draws=100 if quick else DRAWS, seed=SEED)
    predicted, infeasible = predict(answer, options_of(simulator.name), DAYS)
    row = {"parameters": len(answer), "inside_99_band": int(ranks.inside.sum())}
    row |= {
        f"median of {name}": float(np.median(answer[name])) if name in answer else None
        for name in SHOWN
    }
    row["infeasible"] = infeasible
    row["out_of_distribution_p"] = float(answer.p_value)
    for days, part in (("fit", slice(0, FIT_DAYS)), ("forecast", slice(FIT_DAYS, DAYS))):
        row[f"{days} inside 90 %"] = share_inside(predicted, covid19.germany(DAYS), part, 0.9)
    return row, predicted


if __name__ == "__main__":
    main()
