"""Observation: whether it is like the simulations that the network was trained on."""

from bayesinn.diagnosis.check import OUTSIDE, WITHIN, Check
from bayesinn.posterior.typicality import Typicality

_LIKE = "like these simulations"
_UNLIKE = "unlike these simulations, and its posterior not to be trusted"


def _sentence(result: Typicality) -> str:
    if result.undecided:
        return "The network saw too few simulations to tell whether the observation is like them."
    reason = f": {result.reason}" if result.reason else ""
    return f"The observation is {_UNLIKE if result.out_of_distribution else _LIKE}{reason}."


CHECK = Check(
    name="observation",
    group="around the observation",
    place=110,
    part=True,
    run=lambda given: given.observation.typicality,
    question="Whether the observation is like the simulations that the network was trained on.",
    sentence=_sentence,
    judge=lambda result: (
        "" if result.undecided else OUTSIDE if result.out_of_distribution else WITHIN
    ),
    weights={"": 4.0},
    meaning="The observation is like the simulations that the network was trained on.",
    remedy="Look for differences between data and simulator: units, missing or delayed counts, "
    "preprocessing; then widen the prior or extend the simulator. The posterior of this "
    "observation is an extrapolation.",
)
