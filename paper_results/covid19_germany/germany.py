"""The posterior for Germany, beside the published and the exact one, and what it says.

It also says whether the posterior may be believed.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from exact import germany_draws
from published import CORRELATIONS, GERMANY
from shared import LABELS, SEED, Arrays, Study, mode

from bayesinn import plots
from bayesinn.simulators.covid19 import germany

DRAWS = 10_000
PRIOR_DRAWS = 10_000
# What was asked of a re-implementation: ranges of medians, and of the mode of alpha.
_MEDIANS = {
    "alpha": (0.50, 0.70),
    "L_I": (5.0, 6.2),
    "L_R": (12.0, 14.0),
    "L_D": (10.5, 12.0),
    "sigma_I": (7.0, 9.0),
    "lambda0": (2.4, 3.5),
}
_MODE_OF_ALPHA = (0.70, 0.85)
_LARGEST_CORRELATION = -0.7


def run(study: Study) -> None:
    """Draw, tabulate, draw figures."""
    columns: dict[str, Arrays] = {}
    rows = []
    for name, posterior in study.posteriors("covid19", "covid19_regular").items():
        size = study.size(DRAWS, 500)
        posterior.sample(germany(), draws=size, seed=SEED)
        started = time.monotonic()
        draws = posterior.sample(germany(), draws=size, seed=SEED + 1)
        seconds = time.monotonic() - started
        columns[LABELS[name]] = draws
        rows.append(
            {
                "posterior": LABELS[name],
                "draws": size,
                "seconds": seconds,
                "out_of_distribution_p": float(draws.p_value),
                "least_typical": str(draws.unusual),
            }
        )
    if not columns:
        return
    exact = germany_draws(study)
    if exact is not None:
        columns["exact, regular noise"] = exact
    study.write(pd.DataFrame(rows), "observation")
    study.write(posterior_table(columns), "results")
    study.write(acceptance(columns), "acceptance")
    study.write(headlines(columns), "headlines")
    for name, posterior in study.posteriors("covid19", "covid19_regular").items():
        prior = posterior.simulator.sample(study.size(PRIOR_DRAWS, 200), seed=SEED)
        reference = exact if name == "covid19_regular" else None
        shown = list(GERMANY)[: study.size(len(GERMANY), 6)]
        figure = plots.marginals(
            {key: columns[LABELS[name]][key] for key in shown},
            prior={key: prior[key] for key in shown},
            reference=None if reference is None else {key: reference[key] for key in shown},
            labels=posterior.simulator.labels,
        )
        plots.save(figure, study.target / f"marginals{'' if name == 'covid19' else '_regular'}.png")


def posterior_table(columns: dict[str, Arrays]) -> pd.DataFrame:
    """Median, mean, MAP and 95 % interval of each parameter, published and ours."""
    table = {"parameter": list(GERMANY)}
    statistics = ("median", "mean", "MAP", "2.5 %", "97.5 %")
    for number, statistic in enumerate(statistics):
        table[f"published: {statistic}"] = [values[number] for values in GERMANY.values()]
    for label, draws in columns.items():
        values = {
            "median": [np.median(draws[name]) for name in GERMANY],
            "mean": [draws[name].mean() for name in GERMANY],
            "MAP": [mode(draws[name]) for name in GERMANY],
            "2.5 %": [np.quantile(draws[name], 0.025) for name in GERMANY],
            "97.5 %": [np.quantile(draws[name], 0.975) for name in GERMANY],
        }
        table |= {f"{label}: {statistic}": values[statistic] for statistic in statistics}
    return pd.DataFrame(table)


def acceptance(columns: dict[str, Arrays]) -> pd.DataFrame:
    """Acceptance criteria of a re-implementation, line by line; also for the exact posterior."""
    rows = []
    for label, draws in columns.items():
        distances = {
            name: abs(float(np.median(draws[name])) - median) / (0.25 * (high - low))
            for name, (median, _, _, low, high) in GERMANY.items()
        }
        far = [name for name, distance in distances.items() if distance > 1.0]
        found = f"{len(GERMANY) - len(far)} of {len(GERMANY)}" + (
            f"; not {', '.join(far)}" if far else ""
        )
        lines = [("medians within half a published half-width", "all 34", found, not far)]
        for name, (low, high) in _MEDIANS.items():
            value = float(np.median(draws[name]))
            lines.append(
                (f"median of {name}", f"{low:g} to {high:g}", f"{value:.3g}", low <= value <= high)
            )
        value = mode(draws["alpha"])
        low, high = _MODE_OF_ALPHA
        lines.append(
            ("mode of alpha", f"{low:g} to {high:g}", f"{value:.3g}", low <= value <= high)
        )
        value = float(np.corrcoef(draws["delta"], draws["d"])[0, 1])
        text = f"below {_LARGEST_CORRELATION:g}"
        lines.append(
            ("correlation of delta and d", text, f"{value:.2f}", value < _LARGEST_CORRELATION)
        )
        rows += [
            {
                "posterior": label,
                "check": check,
                "asked": asked,
                "found": found,
                "passed": "yes" if passed else "no",
            }
            for check, asked, found, passed in lines
        ]
    return pd.DataFrame(rows)


def headlines(columns: dict[str, Arrays]) -> pd.DataFrame:
    """The statements of the paper, each at the published medians, and as a posterior of its own."""
    medians = {"published": {name: np.array([values[0]]) for name, values in GERMANY.items()}}
    rows: list[dict[str, object]] = [
        {
            "statement": "alpha, weight of staying undetected: median",
            "published": GERMANY["alpha"][0],
        },
        {"statement": "alpha: mode", "published": GERMANY["alpha"][2]},
    ]
    for label, draws in columns.items():
        rows[0][label] = float(np.median(draws["alpha"]))
        rows[1][label] = mode(draws["alpha"])
        medians[label] = {name: np.array([np.median(draws[name])]) for name in GERMANY}
    for statement in derived(medians["published"]):
        row: dict[str, object] = {"statement": f"{statement}, at the medians"}
        row |= {label: float(derived(values)[statement][0]) for label, values in medians.items()}
        intervals: dict[str, object] = {"statement": f"{statement}: median [95 % interval]"}
        for label, draws in columns.items():
            middle, low, high = np.quantile(derived(draws)[statement], [0.5, 0.025, 0.975])
            intervals[label] = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
        rows += [row, intervals]
    for (first, second), value in CORRELATIONS.items():
        correlations = {
            label: np.corrcoef(draws[first], draws[second])[0, 1]
            for label, draws in columns.items()
        }
        rows.append(
            {
                "statement": f"correlation of {first} and {second}",
                "published": value,
                **correlations,
            }
        )
    table = pd.DataFrame(rows)
    numbers = table.columns.drop("statement")
    table[numbers] = table[numbers].map(
        lambda value: f"{value:.3g}" if isinstance(value, float) else value
    )
    return table.fillna("").replace("nan", "")


def derived(draws: Arrays) -> dict[str, np.ndarray]:
    """Quantities that the parameters imply.

    Of the infections that a person causes, those before diagnosis: as a carrier one infects for the
    mean time 1/a with a = (1 - alpha) eta + alpha theta; the share (1 - alpha) eta / a is
    diagnosed, and infects, beta times as much, for 1/b with b = (1 - delta) mu + delta d.
    """
    diagnosis = (1.0 - draws["alpha"]) * draws["eta"]
    unnoticed = draws["alpha"] * draws["theta"]
    leaving = (1.0 - draws["delta"]) * draws["mu"] + draws["delta"] * draws["d"]
    return {
        "serial interval 1/gamma + 1/eta [days]": 1.0 / draws["gamma"] + 1.0 / draws["eta"],
        "mean time exposed and carrier 1/gamma + 1/a [days]": 1.0 / draws["gamma"]
        + 1.0 / (diagnosis + unnoticed),
        "recovery time undiagnosed 1/theta [days]": 1.0 / draws["theta"],
        "recovery time diagnosed 1/eta + 1/mu [days]": 1.0 / draws["eta"] + 1.0 / draws["mu"],
        "share of carriers never diagnosed": unnoticed / (unnoticed + diagnosis),
        "share of infections before diagnosis": 1.0 / (1.0 + draws["beta"] * diagnosis / leaving),
        "first reproduction number": draws["lambda0"]
        * (1.0 + draws["beta"] * diagnosis / leaving)
        / (diagnosis + unnoticed),
        "deaths among the diagnosed": draws["delta"] * draws["d"] / leaving,
    }
