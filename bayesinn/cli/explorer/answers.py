"""What the explorer's page asks a posterior, and the answers, as values that JSON can hold."""

import base64
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.cli.data_files import read_data
from bayesinn.cli.tables import read_table, widen
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_integer
from bayesinn.core.files import reraise_as
from bayesinn.core.labels import columns, split_events
from bayesinn.diagnosis.report.mathtext import draw_label
from bayesinn.diagnosis.report.sections import first_paragraph
from bayesinn.posterior.amortized import TrainedPosterior
from bayesinn.posterior.answers import predict
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.simulation.checks import check_arrays, check_keys
from bayesinn.spaces.observations import check_observations, outside_support, refuse_batch

#: Quantiles of the predictive band, and of the prior that a slider reaches over.
BAND = (0.05, 0.25, 0.5, 0.75, 0.95)
_REACH = (0.005, 0.995)
_PRIOR_DRAWS = 2_000
#: Draws of the prior that the page gets, for its outline.
_PRIOR_SHOWN = 500
#: Simulations from which the context of one is taken.
_SIMULATED = 64
_MOST_DRAWS = 10_000
#: Draws from which data are simulated: enough for the band, and few enough to follow a drag.
_PREDICTED = 200

#: Entries of requests, all of them optional but where an action needs them.
_HOLDS = {
    "parameters": dict,
    "data": dict,
    "context": dict,
    "seed": int,
    "predictive": bool,
    "name": str,
    "content": str,
}
_KINDS = {dict: "an object", int: "an integer", bool: "true or false", str: "a text"}
_SUFFIXES = (".csv", ".json", ".npz")

Request = Mapping[str, Any]
Answer = dict[str, Any]


class Answers:
    """Answers to the page, each a function of a request; the same request gives the same answer.

    Parameters
    ----------
    posterior : trained posterior
    draws : int, number of posterior draws of an answer
    """

    def __init__(self, posterior: TrainedPosterior, draws: int = 500) -> None:
        self.posterior = posterior
        self.simulator = posterior.simulator
        self.draws = check_integer("Option --draws", draws, least=50, most=_MOST_DRAWS)

    @property
    def actions(self) -> dict[str, tuple[Callable[[Request], Answer], tuple[str, ...]]]:
        """What the page can ask for, by name, and what such a request must hold."""
        return {
            "model": (self.model, ()),
            "simulate": (self.simulate, ("parameters",)),
            "infer": (self.infer, ("data",)),
            "recover": (self.recover, ()),
            "file": (self.file, ("name", "content")),
        }

    def answer(self, action: str, request: Any) -> Answer:
        """Answer a request that may come from anybody: an object, of entries of their types."""
        reply, needed = self.actions[action]
        subject = f"Request {action!r}"
        do = "ask as the explorer's page does"
        if not isinstance(request, dict):
            raise InputError(
                subject, expected="a JSON object", got=f"a {type(request).__name__}", do=do
            )
        known = {name: request[name] for name in _HOLDS if request.get(name) is not None}
        for name in (*needed, *known):
            if not isinstance(known.get(name), _HOLDS[name]):
                raise InputError(
                    subject,
                    expected=f"{_KINDS[_HOLDS[name]]} under {name!r}",
                    got=f"a {type(known[name]).__name__}" if name in known else "nothing",
                    do=do,
                )
        return reply(known)

    def model(self, request: Request) -> Answer:
        """Describe parameters, with the range of the prior, and data."""
        labels = self.simulator.labels
        parameters = [
            {
                "name": name,
                "label": labels.label(name),
                "drawing": draw_label(labels.label(name)),
                "unit": labels.unit(name),
                "whole": _whole(values),
                "low": float(np.quantile(values, _REACH[0])),
                "high": float(np.quantile(values, _REACH[1])),
                "median": float(np.median(values)),
                "prior": _list(values[:: max(1, len(values) // _PRIOR_SHOWN)]),
            }
            for name, values in columns(self._prior, batch_ndim=1).items()
        ]
        observables = [
            {
                "name": name,
                "label": labels.label(name),
                "drawing": draw_label(labels.label(name)),
                "shape": list(shape),
                "unit": labels.unit(name),
                "steps": self._steps(name),
            }
            for name, shape in self.simulator.observable_shapes.items()
        ]
        own = self._observed
        return {
            "name": self.simulator.name,
            "says": first_paragraph(self.simulator),
            "parameters": parameters,
            "observables": observables,
            "context": {name: _list(value) for name, value in self._context.items()},
            "observed": {name: _list(value) for name, value in own.items()} or None,
            # Simulations in worker processes are too slow to follow a drag.
            "follows": self.simulator.in_graph,
            "draws": self.draws,
        }

    def simulate(self, request: Request) -> Answer:
        """Simulate data from ``parameters`` by column, and infer from them."""
        parameters = self._parameters(request["parameters"])
        answer = self._simulated(parameters, request)
        return answer | {"notes": self._far_out(parameters)}

    def recover(self, request: Request) -> Answer:
        """Draw parameters from the prior, simulate, infer, and tell where the truth lies."""
        drawn = self.simulator.draw(1, _seed(request), "explorer")
        truth = {name: np.asarray(value) for name, value in drawn.parameters.items()}
        context = {name: _list(np.asarray(value)[0]) for name, value in drawn.context.items()}
        answer = self._simulated(truth, {**request, "context": context})
        inside = {}
        for name, value in columns(truth, batch_ndim=1).items():
            low, high = np.quantile(answer["draws"][name], [BAND[0], BAND[-1]])
            inside[name] = bool(low <= value[0] <= high)
        flat = {name: float(value[0]) for name, value in columns(truth, batch_ndim=1).items()}
        return answer | {"parameters": flat, "context": context, "inside": inside}

    def infer(self, request: Request) -> Answer:
        """Return draws, p-value and predictive band of ``data``, observables by name."""
        started = time.perf_counter()
        seed = _seed(request)
        given = _arrays({**request["data"], **self._context_of(request)})
        observations = check_observations(self.simulator, given)
        do = "give one; 'bayesinn infer' answers them all"
        refuse_batch(observations, "Data of the explorer", do)
        draws = self.posterior.sample(observations.arrays, draws=self.draws, seed=seed)
        answer: Answer = {
            "draws": {
                name: _list(value[0])
                for name, value in columns(self.simulator.prior.unwrapped(draws), 2).items()
            },
            "p_value": float(draws.p_value[0]),
            "unusual": str(draws.unusual[0]),
            "flagged": bool(draws.p_value[0] < FLAG_LEVEL),
        }
        if request.get("predictive", True):
            few = {name: value[:, :_PREDICTED] for name, value in draws.items()}
            predicted = predict(self.simulator, observations, few, seed)
            answer["predictive"] = {name: _bands(value[0]) for name, value in predicted.items()}
            answer["whole"] = {name: _whole(value[0]) for name, value in predicted.items()}
        return answer | {"milliseconds": round(1e3 * (time.perf_counter() - started), 1)}

    def file(self, request: Request) -> Answer:
        """Read a file that was dropped: its ``name``, and its ``content`` in base64."""
        notes: list[str] = []
        name = textwrap.shorten(request["name"], 60)
        suffix = Path(request["name"]).suffix.lower()
        if suffix not in _SUFFIXES:
            raise InputError(
                f"File {name!r}",
                expected=f"one that ends in {', '.join(_SUFFIXES)}",
                got=repr(suffix[:20]),
                do="convert the file",
            )
        damaged = reraise_as(
            f"File {name!r}", f"a {suffix[1:].upper()} file", "correct it", error=InputError
        )
        with damaged, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"data{suffix}")
            path.write_bytes(base64.b64decode(request["content"]))
            # Steps are counted anew, unless the file says how many there are.
            left_out = _names_in(path) | set(self.simulator.lengths.values())
            context = {
                name: value
                for name, value in _arrays(self._context_of(request)).items()
                if name not in left_out
            }
            data = read_data(path, self.simulator, context=context, note=notes.append)
        arrays = check_observations(self.simulator, data)
        refuse_batch(arrays, f"File {name!r}", "drop a file with one of them")
        known = {name: _list(value[0]) for name, value in arrays.arrays.items()}
        names = self.simulator.observable_shapes
        return {
            "data": {name: known[name] for name in names},
            "context": {name: known[name] for name in self.simulator.context_names},
            "notes": notes,
        }

    @cached_property
    def _prior(self) -> dict[str, np.ndarray]:
        # Without simulations, which take long in Python.
        drawn = self.simulator.prior.sample(_PRIOR_DRAWS, seeds.tensor_seed(0, "prior"))
        return {name: np.asarray(value) for name, value in drawn.items()}

    @cached_property
    def _observed(self) -> dict[str, np.ndarray]:
        """The observation that ships with the simulator, padded and counted; empty without one."""
        if self.simulator.observed is None:
            return {}
        own = check_observations(self.simulator, self.simulator.observed)
        return own.row() if own.count == 1 else {}

    @cached_property
    def _context(self) -> dict[str, np.ndarray]:
        """Context of the observation that ships with the simulator, or of one simulation."""
        if not self.simulator.context_names:
            return {}
        drawn = self.simulator.draw(_SIMULATED, 0, "explorer").context
        return {
            name: self._observed.get(name, np.asarray(drawn[name])[0])
            for name in self.simulator.context_names
        }

    def _context_of(self, request: Request) -> Mapping[str, Any]:
        return request.get("context") or {
            name: _list(value) for name, value in self._context.items()
        }

    def _steps(self, name: str) -> list[str]:
        coordinate = self.simulator.labels.coordinates.get(name)
        if coordinate is None:
            return []
        return [coordinate.step(index) for index in range(len(coordinate.values))]

    def _parameters(self, numbers: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return arrays (1, *event) from numbers by column, which the prior must hold possible."""
        prior = self.simulator.prior
        shapes = prior.event_shapes
        names = list(columns({name: np.empty((1, *shapes[name])) for name in shapes}, batch_ndim=1))
        check_keys("Parameters", numbers, names, names)
        given = _arrays(numbers)
        if any(value.ndim for value in given.values()):
            raise InputError(
                "Parameters", expected="a number for each", got="lists", do="give numbers"
            )
        flat = np.array([given[name] for name in names])
        values = check_arrays(prior, split_events(flat[None], shapes))
        for name, (impossible, support) in outside_support(prior, values).items():
            if impossible.any():
                raise InputError(
                    f"Parameter {name!r}",
                    expected=f"a value inside the support of its prior: {support}",
                    got=f"{values[name][0].tolist()}",
                    do="choose one inside: nothing was learned out there",
                )
        return prior.cast(values)

    def _far_out(self, parameters: Mapping[str, np.ndarray]) -> list[str]:
        """Say which parameters (1, *event) lie beyond all draws of the prior."""
        notes = []
        prior = columns(self._prior, batch_ndim=1)
        for name, (value,) in columns(parameters, batch_ndim=1).items():
            low = prior[name].min()
            high = prior[name].max()
            if not low <= value <= high:
                notes.append(
                    f"{name} = {value:.4g} lies beyond all of {_PRIOR_DRAWS:,} draws from the "
                    f"prior, {low:.3g} to {high:.3g}: the posterior is an extrapolation."
                )
        return notes

    def _simulated(self, parameters: Mapping[str, np.ndarray], request: Request) -> Answer:
        context = {name: value[None] for name, value in _arrays(self._context_of(request)).items()}
        observables = self.simulator.simulate(parameters, _seed(request), context)
        for name, values in observables.items():
            # NaN may be a missing value.
            if np.isinf(np.asarray(values, float)).any():
                raise InputError(
                    f"Simulated {name!r}",
                    expected="finite numbers",
                    got="a simulation that failed or overflowed",
                    do="choose other parameters",
                )
        data = {name: _list(value[0]) for name, value in observables.items()}
        return {"data": data} | self.infer({**request, "data": data})


def _seed(request: Request) -> int:
    return check_integer("Seed of the explorer", request.get("seed", 1), least=0)


def _names_in(path: Path) -> set[str]:
    """Return the names of the variables in a data file."""
    if path.suffix == ".csv":
        columns_of_file = widen(read_table(path), None, {}).names
        return {column.partition("[")[0] for column in columns_of_file}
    return set(read_data(path))


def _bands(values: np.ndarray) -> list[Any]:
    """Return quantiles (5, size) of simulated data (draws, ...); None where none is finite."""
    flat = values.reshape(len(values), -1).astype(float)
    flat[~np.isfinite(flat)] = np.nan
    known = ~np.isnan(flat).all(axis=0)
    bands = np.full((len(BAND), flat.shape[1]), np.nan)
    if known.any():
        bands[:, known] = np.nanquantile(flat[:, known], BAND, axis=0)
    return _list(bands)


def _list(value: np.ndarray) -> Any:
    """Return nested lists of numbers; None where a number isn't finite, which JSON has no word for.

    >>> _list(np.array([1.0, np.nan]))
    [1.0, None]
    """
    array = np.asarray(value)
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    listed = array.astype(object)
    listed[~np.isfinite(array)] = None
    return listed.tolist()


def _arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nested lists of JSON as arrays; None is NaN."""
    arrays = {}
    for name, value in values.items():
        subject = f"Values of {textwrap.shorten(name, 60)!r}"
        with reraise_as(subject, "numbers", "give numbers, in lists of one size", error=InputError):
            arrays[name] = np.array(value, dtype=float)
        # Networks compute in single precision, in which larger ones are infinite.
        if np.any(np.abs(arrays[name]) > np.finfo(np.float32).max):
            raise InputError(
                subject, expected="numbers up to 3e38", got="a larger one", do="correct it"
            )
    return arrays


def _whole(values: np.ndarray) -> bool:
    """Return whether all are whole numbers, which TFP draws as floats; NaN is missing."""
    return bool(np.all((values == np.floor(values)) | np.isnan(values)))
