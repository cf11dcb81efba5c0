"""The posterior of a hierarchical model in two stages: hyperparameters, then each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES
from bayesinn.core import seeds
from bayesinn.core.arrays import without_padding
from bayesinn.core.compilation import AnyRows, check_precision, full_precision
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError, check_draws, check_type, warn
from bayesinn.core.files import SavedModel
from bayesinn.flows import Flow
from bayesinn.hierarchical.network import (
    Levels,
    SetNetwork,
    SetSpace,
    TwoStages,
    check_levels,
    set_simulator,
)
from bayesinn.posterior.amortized import (
    SCHEMA,
    Compared,
    TrainedPosterior,
    describe_model,
    new_summaries,
)
from bayesinn.posterior.answers import Draws, Evaluator, inference_data, require_draws
from bayesinn.posterior.defaults import choose_flow, recommended_summaries, refuse_trained_first
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation import identity
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.observations import Observations, axes, check_observations, warn_of_missing
from bayesinn.spaces.parameters import ParameterSpace, layout_of
from bayesinn.summaries import DeepSet, Summary

if TYPE_CHECKING:
    import xarray


# Sets are large.
_COMPARED_SETS = 2_048


def compared_sets(model: PosteriorModel, rows: Arrays) -> Compared:
    """Return what new data sets are compared with; persons enter by their mean and sd."""
    space = model.data
    names = (*space.observables, *space.context)
    data = {name: rows[name][:_COMPARED_SETS] for name in space.scalings}
    counts = {name: name for name in (*space.lengths.values(), *(set(data) - set(names)))}
    return Compared(data, pooled=names, series=(), counts=counts)


def person_tree(
    person: Simulator,
    levels: Levels,
    persons: Observations,
    values: Draws,
    ids: np.ndarray,
    seed: int,
    predictive: bool,
    progress: bool,
) -> xarray.DataTree:
    """Return the tree of the persons' data (persons, ...), with their ids as coordinates.

    Draws are (draws, *event) of the population, (persons, draws, *event) of persons.
    """
    import xarray

    everyone = {
        name: np.broadcast_to(value, (persons.count, *value.shape))
        if name in levels.shared
        else value
        for name, value in values.items()
    }
    tree = inference_data(person, persons, everyone, None, None, seed, predictive, progress)
    groups = {}
    for name, group in tree.children.items():
        data = group.to_dataset()
        if "observation" in data.dims:
            population = [key for key in levels.shared if key in data]
            alike = {key: data[key].isel(observation=0, drop=True) for key in population}
            data = data.drop_vars(population).rename(observation=levels.axis)
            data = data.assign_coords({levels.axis: ids}).assign(alike)
        groups[name] = data
    groups["sample_stats"]["out_of_distribution_p"] = xarray.DataArray(float(values.p_value))
    found = xarray.DataTree.from_dict(groups)
    found.attrs.update(tree.attrs)
    return found


# Number of rows of persons and draws in one call.
_ROWS_PER_CALL = 200_000


class HierarchicalPosterior(TrainedPosterior):
    """The posterior of hyperparameters and of each person's parameters, for any set of persons.

    Each person's data become a summary. The first stage draws hyperparameters given the set of
    these summaries; the second draws one person's parameters given that person's summary and a draw
    of the hyperparameters. Both are trained together, on sets of various sizes.

    Persons are exchangeable. :meth:`sample`, :meth:`log_prob` and :func:`bayesinn.diagnose` are
    about the population and the first person of a set, who stands for any. :meth:`sample_all` and
    :meth:`infer` are about all persons of one data set.

    Parameters
    ----------
    simulator : Simulator
        Simulator of one person, made of TensorFlow operations. In its prior, the parameters in
        ``group`` depend on others, such as ``"speed": lambda mean, sd: tfd.Normal(mean, sd)``.
        Numbers of trials may vary, by ``lengths``; context is that of a person.
    group : dict of one name to names of parameters
        The repeated unit and its parameters: ``{"person": ("speed", "threshold")}``. All other
        parameters are hyperparameters, or common to all persons.
    sizes : pair of int, the fewest and the most persons in a data set
    summary : Summary, or dict of observable to Summary
        Network for one person's data, as for :class:`AmortizedPosterior`.
    population : Summary
        Network for the set of persons' summaries; by default ``DeepSet(32)``.
    flow : Flow
        Flow of each stage; by default that of :class:`bayesinn.AmortizedPosterior` for so many
        parameters. What the simulator recommends is for all parameters of one person together.

    References
    ----------
    Habermann et al. (2024), Amortized Bayesian multilevel models, arXiv:2408.13230.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow as tf
    >>> import tensorflow_probability as tfp
    >>> tfd = tfp.distributions
    >>> @bi.simulator(
    ...     prior={
    ...         "mean": tfd.Normal(0.0, 1.0),
    ...         "sd": tfd.HalfNormal(1.0),
    ...         "level": lambda mean, sd: tfd.Normal(mean, sd),
    ...     }
    ... )
    ... def person(parameters, seed):
    ...     level = parameters["level"][:, None]
    ...     return {"y": level + tf.random.stateless_normal((tf.shape(level)[0], 4), seed)}
    >>> posterior = bi.HierarchicalPosterior(
    ...     person,
    ...     group={"person": "level"},
    ...     sizes=(2, 5),
    ...     flow=bi.flows.coupling(blocks=1, hidden=(8,)),
    ... )
    >>> _ = posterior.fit(steps=5, seed=1, progress=False)
    >>> result = posterior.infer({"y": [[0.1, 0.2, 0.0, 0.3], [1.5, 1.1, 0.9, 1.7]]}, draws=10)
    >>> dict(result["posterior"]["level"].sizes)
    {'chain': 1, 'draw': 10, 'person': 2}
    """

    schema: ClassVar[Mapping[str, Any]] = SCHEMA
    grouped = True
    flow: TwoStages

    def __init__(
        self,
        simulator: Simulator,
        group: Mapping[str, str | Sequence[str]],
        sizes: Sequence[int] = (5, 50),
        summary: Summary | Mapping[str, Summary | None] | None = None,
        population: Summary | None = None,
        flow: Flow | None = None,
    ) -> None:
        check_levels(simulator, group, sizes)
        population = DeepSet(32) if population is None else population
        do = "pass for example bi.summaries.DeepSet(32)"
        check_type("Argument 'population'", population, Summary, "a summary of a set", do)
        # Networks see the data of one person, not of the set, whose order is not looked for.
        summaries = recommended_summaries(simulator, summary).networks
        refuse_trained_first(summaries)
        configuration = {
            "group": group,
            "sizes": sizes,
            "summaries": summaries,
            "population": population,
            "flow": choose_flow(flow, layout_of(simulator.prior)),
        }
        self.assemble(simulator, configuration)

    def assemble(self, simulator: Any, configuration: Mapping[str, Any]) -> None:
        self.person = simulator
        self.levels = check_levels(simulator, configuration["group"], configuration["sizes"])
        self.population = configuration["population"]
        stages = TwoStages(configuration["flow"], self.levels.shared)
        sets = set_simulator(simulator, self.levels)
        super().assemble(sets, {"summaries": configuration["summaries"], "flow": stages})

    def sample_all(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> Draws:
        """Draw the population's parameters, and given these, those of all persons of one data set.

        Parameters
        ----------
        data : dict of name to array (persons, ...), observables and context of each person
            Lists of lists if numbers of trials vary.
        draws, seed : int

        Returns
        -------
        Draws
            Dict of parameter to array (draws, *event), or (persons, draws, *event) for parameters
            in ``group``; with ``p_value`` of the data set.
        """
        observations, condition, inputs = self.encode_data(data)
        if observations.batched:
            raise InputError(
                "Data",
                expected="one data set, arrays (persons, ...)",
                got=f"{observations.count} of them",
                do="ask for one at a time",
            )
        values = self._everyone(observations.arrays, draws, seed)
        compared = np.asarray(self.model.network.compared(condition))
        typical = self.reference.compare(compared, inputs)
        shared = {name: values[name][0] for name in self.levels.shared}
        return Draws(
            {name: shared.get(name, value) for name, value in values.items()},
            typical.p_value[0],
            typical.unusual[0],
        )

    def infer(
        self,
        data: Mapping[str, Any],
        *,
        draws: int = 1_000,
        seed: int = 0,
        predictive: bool = True,
        progress: bool = False,
        ids: Sequence[Any] | None = None,
    ) -> xarray.DataTree:
        """Return posterior draws of one data set, and all that ArviZ needs.

        Parameters
        ----------
        data : dict of name to array (persons, ...), as for :meth:`sample_all`
        draws, seed : int
        predictive, progress : bool, as for :meth:`AmortizedPosterior.infer`
        ids : sequence of numbers or texts
            Names of the persons, by default 0, 1, 2, ...

        Returns
        -------
        xarray.DataTree
            As for other posteriors. Parameters in ``group`` and the data have a dimension named
            after it, with the ids as coordinates. The prior is that of one person.
        """
        persons = self._check_persons(data)
        names = np.arange(persons.count) if ids is None else np.asarray(ids)
        if names.shape != (persons.count,) or len(set(names.tolist())) < persons.count:
            raise InputError(
                "Argument 'ids'",
                expected=f"{persons.count} different numbers or texts, one for each person",
                got=f"{ids}",
                do="leave them out, to count from 0",
            )
        values = self.sample_all(data, draws=draws, seed=seed)
        if self.unfinished:
            warn(self.unfinished)
        return person_tree(
            self.person, self.levels, persons, values, names, seed, predictive, progress
        )

    def configuration(self) -> dict[str, Any]:
        """Return levels and networks, by name."""
        return {
            "group": {self.levels.axis: self.levels.own},
            "sizes": (self.levels.fewest, self.levels.most),
            "summaries": self.summaries,
            "population": self.population,
            "flow": self.flow.first,
        }

    def untrained(self) -> Self:
        return self.from_configuration(self.person, self.configuration())

    def measured_data(self, rows: Arrays) -> SetSpace:
        """Return the space of sets, standardised on the persons of rows (n, persons, ...)."""
        return SetSpace.of_sets(rows, self.person, self.levels, self.summaries)

    def saved_data(self, saved: SavedModel) -> SetSpace:
        return SetSpace.saved(saved, self.person, self.levels, self.summaries)

    def describe_training(self, model: PosteriorModel) -> str:
        text = describe_model(self.simulator.name, model)
        return f"{text}\n  set of these: {self.population!r}"

    def compared_rows(self, model: PosteriorModel, rows: Arrays) -> Compared:
        return compared_sets(model, rows)

    def adopt_parts(self, evaluator: Evaluator, reference: Reference) -> None:
        super().adopt_parts(evaluator, reference)
        self._drawing = AnyRows(self._everyone_graph, leading=(1, 0, 0))

    def _record(self, *training: Any) -> None:
        super()._record(*training)
        # Now: the program may be another when this is saved.
        self.identity = identity.entries(self.person)

    def entries(self) -> dict[str, Any]:
        # Loading looks for the simulator of a person, and makes that of sets again.
        known = self.identity or identity.entries(self.person)
        return {**super().entries(), "simulator": self.person.reference(), **known}

    def model_of(self, data: DataSpace, seed: int) -> PosteriorModel:
        check_precision()
        parameters = ParameterSpace(self.simulator.prior, seed)
        with seeds.seeded_initial_weights(seed):
            summaries = new_summaries(self.person, self.summaries)
            population = clone(self.population)
            flow = clone(self.flow)
            flow.bind(parameters)
            for summary in (*summaries.values(), population):
                summary.bind(parameters)
            network = SetNetwork(summaries, population, flow, self.levels.count)
            return PosteriorModel(parameters, data, [network])

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        """Return checked data sets (n, persons, ...): those given, or one of persons alone."""
        shapes = self.person.observable_shapes
        if not isinstance(data, Mapping):
            return check_observations(self.simulator, data)
        known = [name for name in shapes if name in data]
        if not known or axes(data[known[0]]) > len(shapes[known[0]]) + 1:
            return check_observations(self.simulator, data)
        persons = self._check_persons(data)
        warn_of_missing(self.person, persons)
        # The places of missing persons are filled with the last person, and not used.
        filled = np.minimum(np.arange(self.levels.most), persons.count - 1)
        arrays = without_padding(self.person.lengths, persons.arrays, persons.arrays)
        one = {name: np.asarray(value)[filled][None] for name, value in arrays.items()}
        sets = check_observations(self.simulator, {**one, self.levels.count: [persons.count]})
        return Observations(sets.arrays, 1, batched=False)

    def _without_filling(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arrays of one set, of as many persons as it counts, if it does."""
        arrays = dict(data)
        count = arrays.pop(self.levels.count, None)
        if count is None:
            return arrays
        lengths = {name: len(value) for name, value in arrays.items()}
        number = np.ravel(np.asarray(count, np.float64))
        if len(number) != 1 or number[0] % 1 or not 1 <= number[0] <= min(lengths.values()):
            raise InputError(
                f"Data {self.levels.count!r}",
                expected=f"one number of the valid rows of each array, whose lengths are {lengths}",
                got=f"{count}",
                do="leave it out if all rows are valid",
            )
        return {name: value[: int(number[0])] for name, value in arrays.items()}

    def _check_persons(self, data: Mapping[str, Any]) -> Observations:
        """Return the checked data (persons, ...) of the persons of one set."""
        axis = self.levels.axis
        given: Any = data
        if isinstance(data, Mapping):
            given = self._without_filling(data)
        persons = check_observations(self.person, given)
        fewest = self.levels.fewest
        most = self.levels.most
        if not persons.batched or not fewest <= persons.count <= most:
            raise InputError(
                f"Data for {self.person.name!r}",
                expected=f"arrays ({axis}, ...) with {fewest} to {most} along that axis",
                got=f"{persons.count}" if persons.batched else f"one {axis}, without it",
                do="train with other sizes=(fewest, most), or give one alone that axis, "
                "value[None]",
            )
        return persons

    @full_precision()
    def _everyone(self, arrays: Arrays, draws: int, seed: int) -> Arrays:
        """Draw (persons, draws, *event) of all parameters, given one set (1, persons, ...)."""
        persons = int(arrays[self.levels.count][0])
        count = check_draws(draws, self.simulator.prior.event_shapes, persons)
        require_draws(self.simulator, self.flow)
        scalings = self.model.data.scalings
        data = {name: np.asarray(arrays[name], own.mean.dtype) for name, own in scalings.items()}
        stream = seeds.tensor_seed(seed, "draws")
        size = max(1, _ROWS_PER_CALL // self.levels.most)
        parts = [
            self._drawing(data, min(size, count - start), seeds.fold_in(stream, start))
            for start in range(0, count, size)
        ]
        return {
            name: np.concatenate([part[name].numpy() for part in parts], axis=1)
            for name in self.simulator.prior.names
        }

    def _everyone_graph(
        self, data: dict[str, tf.Tensor], draws: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        model = self.model
        network = model.network
        assert isinstance(network, SetNetwork)
        inputs, masks = model.data.to_network(data)
        persons = network.persons(inputs, masks)
        condition = network.condition_of(persons, inputs, masks)
        flow = network.flow
        shared = flow.first.sample(draws, condition[FEATURES], seed=seed)
        present = persons[0, : tf.cast(data[self.levels.count][0], tf.int32)]
        count = tf.shape(present)[0]
        vectors = flow.complete(tf.repeat(shared, count, axis=0), present, seeds.fold_in(seed, 1))
        space = model.parameters
        # As the evaluator does: a few draws may explode.
        rows = tf.clip_by_value(
            tf.reshape(vectors, (-1, space.dimension)), -space.reach, space.reach
        )
        values = space.from_vector(rows)
        return {
            name: tf.reshape(values[name], (count, draws, *event))
            for name, event in space.event_shapes.items()
        }
