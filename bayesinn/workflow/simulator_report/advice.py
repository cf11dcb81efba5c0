"""What was found, and what to change: a sentence for each thing worth one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayesinn.workflow.simulator_report.outputs import constants
from bayesinn.workflow.simulator_report.ranges import LARGEST_FLOAT32, LAST_COUNTED, Scale
from bayesinn.workflow.simulator_report.regions import FEWEST
from bayesinn.workflow.simulator_report.values import Values

if TYPE_CHECKING:
    from bayesinn.workflow.simulator_report.result import SimulatorReport

#: Training steps that costs are told for: the default of ``fit``.
TRAINING_STEPS = 5_000
_SLOW_HOURS = 0.5
_MOST_REDRAWN = 0.5
_ALIKE = 0.01
_REPEATED, _MOSTLY_REPEATED, _LUMP = 0.01, 0.5, 0.2
_FAR_OUT = 100.0
_NEAR_THE_END = 1e-2
_OUTSIDE = 0.05
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Advice:
    """One thing to know before training.

    Parameters
    ----------
    severity : "problem", which spoils training or its result, or "hint", worth a look
    subject : str
        Parameter, observable, or what else it is about.
    text : str
        What was found and what to change.
    """

    severity: Literal["problem", "hint"]
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.subject}: {self.text}"


def advise(report: SimulatorReport) -> tuple[Advice, ...]:
    """All advice on a report, problems first."""
    found = [
        *_failures(report),
        *_noise(report),
        *_outputs(report),
        *_repeats(report),
        *_scales(report),
        *_influence(report),
        *_observed(report),
        *_speed(report),
    ]
    return tuple(sorted(found, key=lambda item: item.severity != "problem"))


def _failures(report: SimulatorReport) -> Iterator[Advice]:
    found = report.failures
    if not found.count:
        return
    table = found.by_observable
    places = [region.describe("fail", "failures") for region in found.regions]
    few = found.count < FEWEST
    where = "; ".join(places) or (
        "too few to say where they come from: look at more simulations"
        if few
        else "they come from no particular region that a simple rule would describe"
    )
    names = ", ".join(f"{name!r}" for name in table.index[table["failed"] > 0.0])
    text = f"{_percent(found.share)} of the simulations have NaN or infinity in {names} ({where}). "
    if found.share > _MOST_REDRAWN:
        yield Advice("problem", "failures", f"{text}Mend the simulator or narrow the prior: most draws are lost.")
    elif report.on_nonfinite == "raise":
        do = "Training would stop at the first one: mend the simulator, narrow the prior, or declare "
        yield Advice("problem", "failures", f"{text}{do}on_nonfinite='redraw', which leaves that region out.")
    else:
        do = "They are drawn again, so that posteriors are right for the prior without that region; mend the simulator "
        yield Advice("hint", "failures", f"{text}{do}or narrow the prior if that is not what you mean.")


def _noise(report: SimulatorReport) -> Iterator[Advice]:
    noise = report.noise
    values = {observable.name: observable for observable in report.observables}
    for name in noise.irreproducible:
        do = "draw random numbers from the seed or generator that the function is given, and from nothing else"
        yield Advice("problem", name, f"differs though parameters and seed are the same: {do}.")
    for name in noise.deterministic:
        same = "is the same for the same parameters, whatever the seed"
        if values[name].whole_numbers:
            yield Advice("hint", name, f"{same}: if it should be random, use the seed (deterministic simulator).")
        else:
            yield Advice(
                "problem",
                name,
                f"{same}: deterministic, so the posterior is singular (it fills no volume), its density is infinite, "
                "and training never settles. Draw the noise from the seed, or add measurement noise.",
            )
    for name in noise.shared:
        yield Advice(
            "problem",
            name,
            "every simulation of a batch has the same noise: draw it with the number of rows as first axis.",
        )
    everything = set(noise.unaffected) == set(values)
    for name in noise.unaffected:
        text = "with the same seed it is the same whatever the parameters are: it says nothing about them"
        do = "use them in the function" if everything else "leave it out unless it is there on purpose"
        yield Advice("problem" if everything else "hint", name, f"{text}; {do}.")


def _outputs(report: SimulatorReport) -> Iterator[Advice]:
    for observable in report.observables:
        still = constants(observable)
        if still.all():
            text = f"is {_number(np.nanmedian(observable.matrix))} in every simulation" if still.size == 1 else ""
            yield Advice(
                "problem",
                observable.name,
                f"{text or 'never varies'}: it carries no information; leave it out or mend it.",
            )
        elif still.any():
            names = _listed([observable.element(int(index)) for index in np.flatnonzero(still)])
            text = f"{int(still.sum())} of {still.size} elements never vary ({names})"
            yield Advice("hint", observable.name, f"{text}: harmless, but they carry no information.")
    if report.copies:
        names = _listed([f"{copy} of {original}" for copy, original in report.copies])
        many = f"{len(report.copies)} elements are copies" if len(report.copies) > 1 else "one element is a copy"
        yield Advice(
            "hint",
            "copies",
            f"{many} of others, or linear in them ({names}): if that is no mistake (noise that is drawn once and "
            "broadcast, an index that is always the same), they may be left out.",
        )


def _repeats(report: SimulatorReport) -> Iterator[Advice]:
    found = report.repeats
    if found.whole_numbers:
        lump = found.largest >= _LUMP and found.distinct >= 0.1 * len(found.marked)
        if not lump:
            return
        text = f"{_percent(found.largest)} of the simulations are one and the same"
    else:
        if found.share < _REPEATED or found.marked.sum() < 5:
            return
        text = f"{_percent(found.share)} of the simulations equal another one in every number"
    places = [region.describe("come again", "repeats") for region in report.repeat_regions]
    where = f" ({'; '.join(places)})" if places else ""
    severe = not found.whole_numbers and found.share >= _MOSTLY_REPEATED
    yield Advice(
        "problem" if severe else "hint",
        "repeats",
        f"{text}, though their parameters differ{where}: the data say nothing there. Look for values that are clipped, "
        "stored from an earlier call, or for a region of the prior in which nothing happens.",
    )


def _scales(report: SimulatorReport) -> Iterator[Advice]:
    for observable in report.observables:
        yield from _scale(observable, report.scales[observable.name])


def _scale(observable: Values, scale: Scale) -> Iterator[Advice]:
    name, largest = observable.name, _number(scale.largest)
    if scale.largest > LARGEST_FLOAT32:
        yield Advice(
            "problem", name, f"values up to {largest} are infinite in float32, which networks see: use another unit."
        )
    elif scale.largest > _NEAR_THE_END * LARGEST_FLOAT32:
        yield Advice("hint", name, f"values up to {largest} are near the end of float32 (3.4e38): use another unit.")
    compressed = scale.scaling is not None and scale.scaling.compress is not None
    uncounted = scale.whole_numbers and scale.largest >= LAST_COUNTED
    digits = f"beyond {LAST_COUNTED:,} float32 can't tell n from n + 1"
    if uncounted and not compressed:
        yield Advice(
            "hint",
            name,
            f"whole numbers up to {largest}: {digits}, and int32 ends at 2,147,483,647. Harmless where counts need "
            "not be exact; otherwise subtract an offset.",
        )
    if scale.flattened:
        parts = f"{scale.flattened} of its parts vary" if scale.flattened > 1 else "it varies"
        text = f"{parts} by less than a millionth of the value, which float32 loses: subtract an offset."
        yield Advice("problem", name, text)
    if compressed:
        text = f"values range over many orders of magnitude (largest {largest}): networks see {scale.scaling}. Nothing "
        rest = "to do, unless the largest are a mistake" + (f" ({digits})" if uncounted else "")
        yield Advice("hint", name, f"{text}{rest}.")
    if scale.farthest > _FAR_OUT:
        text = f"after scaling, the farthest value lies {scale.farthest:,.0f} standard deviations out"
        yield Advice("hint", name, f"{text}: single simulations dominate training; take a logarithm, or look for them.")


def _influence(report: SimulatorReport) -> Iterator[Advice]:
    if {observable.name for observable in report.observables} == set(report.noise.unaffected):
        return  # said of the observables already
    for name, p_value in report.associations.items():
        if p_value < _ALIKE:
            continue
        response = report.responses.get(name)
        if response is False:
            text = "no output changes when it alone changes and the random numbers stay the same: nothing depends on it"
            do = "Its posterior will be its prior. Use it in the function, or leave it out"
        else:
            text = f"no output goes with it visibly in {report.simulations:,} simulations"
            text += ", though outputs do change with it" if response else ""
            do = "The data may say little about it, or not in a simple way; recovery after training will tell"
        yield Advice("hint", name, f"{text}. {do}.")


def _observed(report: SimulatorReport) -> Iterator[Advice]:
    for observable in report.observables:
        flat = np.ravel(report.observed.get(observable.name, np.nan))
        low = np.nanmin(np.where(np.isfinite(observable.matrix), observable.matrix, np.inf), axis=0)
        high = np.nanmax(np.where(np.isfinite(observable.matrix), observable.matrix, -np.inf), axis=0)
        outside = int(np.sum((flat < low) | (flat > high)))
        known = int(np.isfinite(flat).sum())
        if outside > _OUTSIDE * known:
            text = f"{outside} of {known} observed numbers lie beyond all {report.simulations:,} simulations of them"
            yield Advice("hint", observable.name, f"{text}: the prior or the simulator can't make data like these.")


def _speed(report: SimulatorReport) -> Iterator[Advice]:
    hours = report.speed.training_seconds(TRAINING_STEPS, report.batch_size) / 3600.0
    if hours > _SLOW_HOURS:
        way = "TensorFlow operations, batched=True or more cores" if not report.in_graph else "larger batches or a GPU"
        text = f"simulating for {TRAINING_STEPS:,} steps of {report.batch_size} takes {hours:,.1f} h"
        yield Advice("hint", "speed", f"{text}: think of {way}, or simulate once and train on the arrays.")


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share < 0.1 else f"{100.0 * share:.0f} %"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
