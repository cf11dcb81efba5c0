"""What a diagnosis means for its reader: what to trust, what not, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.diagnostics import Diagnosis
from bayesinn.workflow.report.render import Verdict

# What passing each test lets one trust, and what to do where it fails.
_MEANING = {
    "SBC": "Marginal posteriors: over the whole prior, truths are where the draws say they are.",
    "coverage": "Over the whole prior, intervals of single parameters hold the truth as often as they promise.",
    "joint coverage": "Over the whole prior, joint regions of highest density hold the truth as often as they promise.",
    "TARP": "The joint posterior uses what the data say; it is not just the prior.",
    "dependence": "Correlations between pairs of parameters.",
    "test quantities": "Test quantities: {columns}.",
    "latent codes": "The flow's latent codes have the distribution they should have.",
    "L-C2ST": "The posterior of this observation, as far as a classifier can tell.",
    "posterior SBC": "Calibration on data sets like this observation.",
    "observation": "The observation is like the simulations that the network was trained on.",
}
_TRAIN = "Train for more steps, until the loss is flat; then give the flow more blocks. Diagnose again."
_REMEDY = {
    "SBC": _TRAIN,
    "coverage": _TRAIN,
    "joint coverage": _TRAIN,
    "TARP": "If SBC passes, the posterior ignores part of the data: look at the summary network (does its output vary "
    "with the data? is its vector long enough?).",
    "dependence": "Use marginal posteriors only, until this passes; more flow blocks with rotations between them learn "
    "correlations.",
    "test quantities": "If SBC passes, the posterior makes too little of the data, or its joint shape is wrong: train "
    "for more steps, then look at the summary network, then at the flow.",
    "latent codes": _TRAIN,
    "L-C2ST": "Near this observation the posterior is wrong: train for longer, and compare with bi.reference at this "
    "observation before you publish.",
    "posterior SBC": "Near this observation the posterior is not calibrated: train for longer, or on a narrower prior "
    "around it.",
    "observation": "Look for differences between data and simulator: units, missing or delayed counts, preprocessing; "
    "then widen the prior or extend the simulator. The posterior of this observation is an extrapolation.",
    "predictive": "The model does not make data like these in every respect: see the statistics flagged, and extend "
    "the simulator where they matter.",
}


def advice(diagnosis: Diagnosis) -> Verdict:
    """The verdict on a diagnosis.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import diagnose_arrays
    >>> from bayesinn.core.labels import Labels
    >>> values = np.random.default_rng(1).normal(size=(2, 100, 20))
    >>> truth, draws = {"rate": values[0, :, 0]}, {"rate": 0.3 * values[1]}
    >>> verdict = advice(diagnose_arrays(truth, draws, truth, Labels(), {}, seed=1))
    >>> verdict.passed, verdict.doubtful[0]
    (False, 'SBC failed: rate: posterior too narrow.')
    """
    table = diagnosis.verdict
    words = dict(zip(table.index, table["verdict"], strict=True))
    trusted, doubtful, actions = [], [], []
    for name, word in words.items():
        # Intervals pass in spite of a shift: then they are nothing to rely on.
        misleading = name == "coverage" and words["SBC"] == "FAILED"
        if word == "passed" and name in _MEANING and not misleading:
            columns = diagnosis.quantities.columns if diagnosis.quantities is not None else ()
            trusted.append(_MEANING[name].format(columns=", ".join(columns)))
        elif word in ("FAILED", "doubtful"):
            found = _readings(diagnosis, name) or table.loc[name, "found"]
            doubtful.append(f"{name} {'failed' if word == 'FAILED' else 'is doubtful'}: {found}.")
            if _REMEDY[name] not in actions:
                actions.append(_REMEDY[name])
    if any(word == "doubtful" and name != "predictive" for name, word in words.items()):
        actions.append("Doubtful tests: diagnose once more with another seed and more simulations.")
    return Verdict(diagnosis.passed, _summary(diagnosis), trusted=trusted, doubtful=doubtful, actions=actions)


def _summary(diagnosis: Diagnosis) -> str:
    size = f"{diagnosis.sbc.simulations:,} simulated data sets with {diagnosis.sbc.draws:,} posterior draws each"
    failed = [name for name in diagnosis.failed if name != "observation"]
    text = f"The posterior is calibrated, as far as {size} can tell."
    if failed:
        text = f"The posterior is not right: {_join(failed)} failed, over {size}."
    if diagnosis.observation is None:
        return text
    if diagnosis.observation.out_of_distribution:
        return f"{text} But the observation is unlike these simulations, and its posterior not to be trusted."
    return text if failed else f"{text} The observation is like them, and its posterior can be used."


def _readings(diagnosis: Diagnosis, name: str) -> str:
    """In words what is wrong, where a test can say it."""
    results = {"SBC": diagnosis.sbc, "dependence": diagnosis.dependence, "test quantities": diagnosis.quantities}
    result = results.get(name)
    if result is None:
        return ""
    said = [f"{column}: {reading}" for column, reading in zip(result.columns, result.reading, strict=True) if reading]
    text = "; ".join(said[:5]) + ("; ..." if len(said) > 5 else "")
    # A quantity has no posterior of its own.
    return text.replace("posterior too", "draws too") if name == "test quantities" else text


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
