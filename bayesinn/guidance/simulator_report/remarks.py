"""Remarks of the simulator report: what to know before training, in words."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Remark:
    """One thing to know before training: the finding; its meaning; what to do.

    The finding is a clause that follows its subject.
    """

    #: a problem spoils training or its result; a hint is worth a look
    severity: Literal["problem", "hint"]
    subject: str
    finding: str
    meaning: str = ""
    do: str = ""

    @property
    def text(self) -> str:
        """Finding, consequence and remedy in one paragraph."""
        return " ".join(filter(None, (f"{self.finding}.", self.meaning, self.do)))


_SAME_NOISE = "is deterministic: the same for the same parameters, whatever the seed"
_SAME_OUTPUT = (
    "is the same for the same seed, whatever the parameters are: it says nothing about them"
)
_FLOAT32 = "Use another unit."
_REPEATS = (
    "of the simulations {share:.1f} % {what}, though their parameters differ{places}",
    "The data say nothing there.",
    "Look for values that are clipped or stored, or for parameters for which nothing happens.",
)
#: Severity, finding, meaning and remedy of each remark; braces hold what was measured.
_REMARKS: dict[str, tuple[Literal["problem", "hint"], str, str, str]] = {
    # speed
    "passes": (
        "hint",
        "simulating for {steps:,} steps takes {time}, the network less",
        "",
        "Train with --passes 4, or bi.Optimization(passes=4): each simulation is used four times, "
        "and a fourth of them is needed.",
    ),
    "slow": (
        "hint",
        "simulating for {steps:,} steps of {batch_size} takes {hours:,.1f} h",
        "",
        "Use larger batches or a GPU, or simulate once into a bank (bayesinn simulate) and train "
        "on that.",
    ),
    "slow workers": (
        "hint",
        "simulating for {steps:,} steps of {batch_size} takes {hours:,.1f} h",
        "",
        "Simulate once into a bank (bayesinn simulate), with more workers or on a cluster, and "
        "train on that. A Python function may be faster with batched=True, or as TensorFlow "
        "operations.",
    ),
    # failures
    "mistake": (
        "problem",
        "{finding}",
        "This is a mistake in the program; drawing them again would hide it.",
        "Correct it.",
    ),
    "most fail": (
        "problem",
        "{finding}",
        "So most draws are lost.",
        "Fix it, or narrow the prior.",
    ),
    "raise": (
        "problem",
        "{finding}",
        "Training would stop at the first one.",
        "Fix it, narrow the prior, or declare on_nonfinite='redraw', which leaves that region out.",
    ),
    "redraw": (
        "hint",
        "{finding}",
        "They are drawn again: posteriors are correct for the prior without that region.",
        "Fix it or narrow the prior if that is not intended.",
    ),
    # noise
    "irreproducible": (
        "problem",
        "differs though parameters and seed are the same",
        "Results can't be repeated.",
        "Draw random numbers from the seed alone.",
    ),
    "deterministic": (
        "problem",
        _SAME_NOISE,
        "So the posterior is singular: it fills no volume, its density is infinite, training "
        "diverges.",
        "Draw noise from the seed.",
    ),
    "deterministic count": ("hint", _SAME_NOISE, "", "If it should be random, use the seed."),
    "shared": (
        "problem",
        "is wrong: every simulation of a batch has the same noise",
        "Simulations are not independent.",
        "Draw noise for each row of the batch.",
    ),
    "all unaffected": ("problem", _SAME_OUTPUT, "", "Use them in the function."),
    "unaffected": (
        "hint",
        _SAME_OUTPUT,
        "Posteriors are the same without it; networks have to learn to ignore it.",
        "Check for a parameter that was meant to be used there, or leave the output out.",
    ),
    # influence
    "idle": (
        "hint",
        "changes no output when it alone changes and the random numbers stay: nothing depends on "
        "it",
        "Its posterior will equal its prior.",
        "Use it in the function, or leave it out.",
    ),
    "invisible": (
        "hint",
        "goes with no output visibly in {count:,} simulations{though}",
        "The data may say little about it, or not in a simple way.",
        "See recovery after training.",
    ),
    # outputs
    "no order": ("hint", "shows no order of its {rows} rows", "", "{advice}"),
    "constant": (
        "problem",
        "is {value:.3g} in every simulation",
        "It has no information.",
        "Leave it out or fix it.",
    ),
    "constants": (
        "problem",
        "never varies",
        "It has no information.",
        "Leave it out or fix it.",
    ),
    "some constant": (
        "hint",
        "{count} of {size} elements never vary ({names})",
        "That is harmless, but they have no information.",
        "",
    ),
    "copies": (
        "hint",
        "elements are copies of others, or linear in them ({count}: {names})",
        "If that is intended, they may be left out.",
        "Look for noise that is drawn once and broadcast, and for an index that is always the "
        "same.",
    ),
    "repeats": ("hint", *_REPEATS),
    "mostly repeats": ("problem", *_REPEATS),
    # ranges
    "observed outside": (
        "hint",
        "{outside} of {known} observed numbers lie beyond all {count:,} simulations",
        "Prior or simulator can't make data like these.",
        "",
    ),
    "infinite": (
        "problem",
        "has values up to {largest:.3g}, which are infinite in float32",
        "Networks compute in float32.",
        _FLOAT32,
    ),
    "nearly infinite": (
        "hint",
        "has values up to {largest:.3g}, near the end of float32",
        "",
        _FLOAT32,
    ),
    "wide": (
        "hint",
        "ranges over many orders of magnitude (largest {largest:.3g}): networks see {scaling}",
        "{digits}",
        "Nothing to do, unless the largest are a mistake.",
    ),
    "large counts": (
        "hint",
        "has whole numbers up to {largest:.3g}; int32 ends at 2,147,483,647",
        "{digits}",
        "Subtract an offset if counts must be exact.",
    ),
    "far out": (
        "hint",
        "has a value {farthest:,.0f} standard deviations out after scaling",
        "Single simulations dominate training.",
        "Take a logarithm.",
    ),
    "lost digits": (
        "problem",
        "{finding}",
        "Posteriors can't depend on what is lost.",
        "{advice}",
    ),
}


def remark(kind: str, subject: str, **facts: Any) -> Remark:
    """Return a remark of a kind, with what was measured."""
    severity, *texts = _REMARKS[kind]
    return Remark(severity, subject, *(text.format(**facts) for text in texts))
