"""Ways from amortized draws of one observation to exact ones, from the fastest to the longest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.convergence import FEWEST_DRAWS, MOST_R_HAT, Convergence
from bayesinn.reference.exact_density import ExactDensity
from bayesinn.reference.smc import sample_by_stages
from bayesinn.reference.smc_moves import StudentT
from bayesinn.reference.tempering import MOST_ROUNDING, next_temperature, rounding, systematic
from bayesinn.reference.weights import Weights
from bayesinn.simulation.simulations import join, take
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import check_observations

#: Where nothing worked.
AMORTIZED = "amortized"

_CHAINS = 8
# Effective size of weights for each draw that is asked for: repeated draws are then few.
_SIZE_A_DRAW = 2.0
# Of each chain, whatever is asked for: R-hat of fewer draws says little.
_FEWEST_STEPS = 250
_MOST_DIVERGED = 0.02
# Amortized draws for each chain that share the weight where chains start.
_STARTS_A_CHAIN = 8
_EVIDENCE_DRAWS = 4_000
# Of each of two runs, which must agree.
_PARTICLES = 2_000
# Particles forget where they started after thousands of moves, if ridges are curved.
_MOVES = {"moves": 20, "most_moves": 240, "final_moves": 200, "most_final_moves": 4_800}
# Particles at temperature one are draws before they move, and errors of resampling differ between
# two runs, so that R-hat sees them. Particles that remember more than this were hardly moved.
_MOST_CORRELATION = 0.5


class Refined(NamedTuple):
    """Draws (draws, *event) of one observation, their log densities (draws,), and numbers.

    Densities are unnormalised.
    """

    parameters: Arrays
    log_density: np.ndarray
    method: str
    effective_size: float
    r_hat: float = np.nan
    log_evidence: float = np.nan
    log_evidence_error: float = np.nan


class Refinement:
    """The search for exact draws of one observation.

    Amortized draws come in rounds of equal size, at most ``most_rounds``; the first is given.

    Attributes
    ----------
    evaluations : int, of the likelihood, so far
    undefined : int, those of them that gave NaN or inf and should not; their likelihood is zero
    failures : list of str, why methods were given up
    """

    def __init__(
        self,
        posterior: Posterior,
        density: ExactDensity,
        data: Arrays,
        which: str,
        progress: bool,
        most_rounds: int,
    ) -> None:
        self.which = which
        self.evaluations = 0
        self.undefined = 0
        self.failures: list[str] = []
        self._posterior = posterior
        self._density = density
        self._data = data
        self._progress = progress
        self._most_rounds = most_rounds

    def run(
        self,
        amortized: Arrays,
        log_amortized: np.ndarray,
        methods: Sequence[str],
        draws: int,
        seed: int,
    ) -> Refined:
        """Try methods in turn; return what the first gives that works, else amortized draws.

        Amortized draws are (n, *event), their log densities (n,), n at least ``draws``.
        """
        self._amortized = amortized
        self._draws = draws
        self._seed = seed
        self._generator = seeds.generator(seed, "refine")
        self._log_density, ratios = self._compare(amortized, log_amortized)
        possible = int(np.isfinite(ratios).sum())
        if not possible:
            raise InputError(
                f"Log likelihood of {self.which}",
                expected="a finite number for some amortized draws",
                got=f"-inf for all {len(ratios):,}",
                do="check the units of the data, and that the likelihood is that of the "
                "simulator; if both are right, train longer",
            )
        self._ratios = ratios
        self.weights = Weights.smooth(ratios)
        for method in methods:
            found = METHODS[method](self)
            if found is not None and self._is_precise(found):
                return found
        if "importance" in methods and self.weights.reliable:
            return self._weighted()
        rows = np.arange(draws)
        values = take(amortized, rows)
        return Refined(values, self._log_density[rows], AMORTIZED, self.weights.effective_size)

    def _evaluate(self, parameters: Arrays) -> np.ndarray:
        values = self._density.log_density(parameters, self._data, self.which)
        self.evaluations += len(values)
        return values

    def _compare(
        self, amortized: Arrays, log_amortized: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return log densities (n,) of amortized draws, and their log ratios to amortized ones."""
        log_density = self._evaluate(amortized)
        with np.errstate(invalid="ignore"):
            ratios = log_density - log_amortized
        return log_density, np.where(np.isfinite(ratios), ratios, -np.inf)

    def _importance(self) -> Refined | None:
        """Return weighted draws, if the weights can be trusted and are worth enough draws."""
        size = len(self._ratios)
        enough = max(_SIZE_A_DRAW * self._draws, FEWEST_DRAWS)
        for number in range(1, self._most_rounds):
            if not self.weights.trustworthy or self.weights.effective_size >= enough:
                break
            self._enlarge(size, f"refine {number}")
        weights = self.weights
        # Of few amortized draws, as the user may ask for, half are enough: some are repeated.
        enough = min(self._draws, len(self._ratios) / 2)
        if not weights.reliable or weights.effective_size < enough:
            found = weights.effective_size
            self.failures.append(f"k-hat {weights.k_hat:.2f}, effective size {found:.0f}")
            return None
        return self._weighted()

    def _enlarge(self, size: int, stream: str) -> None:
        """Weight more amortized draws."""
        observation = check_observations(self._density.simulator, self._data)
        given = self._posterior.given(observation)
        drawn = given.sample(size, self._seed, stream)
        log_amortized = given.log_prob(drawn)[0]
        more = {name: value[0] for name, value in drawn.items()}
        log_density, ratios = self._compare(more, log_amortized)
        self._amortized = join([self._amortized, more])
        self._log_density = np.concatenate([self._log_density, log_density])
        self._ratios = np.concatenate([self._ratios, ratios])
        self.weights = Weights.smooth(self._ratios)

    def _weighted(self) -> Refined:
        """Return draws by their weights."""
        weights = self.weights
        rows = systematic(weights.weights, self._generator.uniform(), self._draws)
        rows = self._generator.permutation(rows)
        return Refined(
            take(self._amortized, rows),
            self._log_density[rows],
            "importance",
            weights.effective_size,
            log_evidence=weights.log_evidence,
            log_evidence_error=weights.log_evidence_error,
        )

    def _nuts(self) -> Refined | None:
        """Return draws of chains that start at amortized draws with weight, if they agree."""
        density = self._density
        possible = np.flatnonzero(np.isfinite(self._ratios))
        obstacle = density.obstacle
        if len(possible) < _CHAINS:
            obstacle = f"{len(possible)} amortized draws to start from"
        if obstacle:
            self.failures.append(f"NUTS: {obstacle}")
            return None
        # The likelihood is tempered until many draws share the weight: chains start apart.
        share = min(0.9, _STARTS_A_CHAIN * _CHAINS / len(possible))
        _, chances, _ = next_temperature(self._ratios[possible], 0.0, share)
        chances = chances + 1e-12
        rows = self._generator.choice(possible, _CHAINS, False, chances / chances.sum())
        steps = max(-(-self._draws // _CHAINS), _FEWEST_STEPS)
        start = density.vectors(take(self._amortized, rows))
        data = {name: value[None] for name, value in density.tensors(self._data).items()}
        before = density.target.undefined.numpy()
        chains = density.sampler.run(start[None], data, draws=steps, seed=self._seed)
        self.undefined += int(density.target.undefined.numpy() - before)
        self.evaluations += int(chains.evaluations.sum())
        vectors = chains.vectors.reshape(-1, chains.vectors.shape[-1])
        values = density.parameters(vectors)
        by_chain = {
            name: value.reshape(1, _CHAINS, steps, *value.shape[1:])
            for name, value in values.items()
        }
        size, r_hat = self._agreement("NUTS", by_chain, chains.diverged)
        diverged = float(chains.diverged.mean())
        if diverged > _MOST_DIVERGED:
            self.failures.append(f"NUTS: {100 * diverged:.0f} % of steps diverged")
            return None
        if not size:
            return None
        kept = take(values, self._generator.permutation(len(vectors))[: self._draws])
        evidence, error = self._evidence(vectors)
        return Refined(kept, self._evaluate(kept), "nuts", size, r_hat, evidence, error)

    def _smc(self) -> Refined | None:
        """Return draws of two runs that start from the amortized posterior, if they agree."""
        density = self._density
        particles = max(_PARTICLES, 2 * -(-self._draws // 4))
        try:
            runs = [
                sample_by_stages(
                    density.simulator,
                    self._data,
                    self._posterior,
                    seeds.integer_seed(self._seed, "refine", number),
                    density.of_tensors,
                    "auto" if density.in_graph else False,
                    self._progress,
                    particles=particles,
                    precise=not density.in_graph,
                    **_MOVES,
                )
                for number in range(2)
            ]
        except InputError as refusal:
            self.failures.append(f"SMC: {refusal}")
            return None
        self.evaluations += sum(run.evaluations for run in runs)
        self.undefined += sum(run.undefined for run in runs)
        values = {
            name: np.stack([run.parameters[name] for run in runs])[None]
            for name in density.space.names
        }
        still = np.zeros((1, 2, particles), bool)
        size, r_hat = self._agreement("SMC", values, still)
        left = max(run.correlations[-1] for run in runs)
        if left > _MOST_CORRELATION:
            self.failures.append(f"SMC: particles are correlated with their start, {left:.2f}")
            return None
        if not size:
            return None
        joined = {name: value.reshape(-1, *value.shape[3:]) for name, value in values.items()}
        kept = take(joined, self._generator.permutation(2 * particles)[: self._draws])
        evidence, error = self._evidence(density.vectors(joined))
        if np.isnan(evidence):
            # Two runs are too few for a standard error.
            evidence = float(np.mean([run.log_evidence for run in runs]))
            if density.simulator.on_nonfinite == "redraw":
                # Of the prior as it is declared, as weights give it.
                evidence += float(np.log(np.mean([run.finite_share for run in runs])))
        return Refined(kept, self._evaluate(kept), "smc", size, r_hat, evidence, error)

    def _is_precise(self, found: Refined) -> bool:
        """Return whether the single precision of chains and particles suffices; say if not."""
        step = rounding(found.log_density)
        if step <= MOST_ROUNDING or found.method == "importance":
            return True
        self.failures.append(
            f"{found.method}: log densities of {found.log_density.max():.1e} are rounded to "
            f"{step:.2g} in single precision; leave constants out of the likelihood"
        )
        return False

    def _agreement(self, name: str, values: Arrays, diverged: np.ndarray) -> tuple[float, float]:
        """Return the effective size and R-hat of chains (1, chains, draws, *event).

        The size is zero if they don't agree.
        """
        r_hat, size = Convergence.measure(values, diverged).extreme()
        if r_hat <= MOST_R_HAT and size >= FEWEST_DRAWS:
            return size, r_hat
        self.failures.append(f"{name}: R-hat {r_hat:.3g}, {size:.0f} independent draws")
        return 0.0, r_hat

    def _evidence(self, vectors: np.ndarray) -> tuple[float, float]:
        """Return the log evidence and its error, by importance sampling from a Student t.

        It has the moments of exact draws (n, d). Both results are NaN if it is too far from the
        posterior.
        """
        density = self._density
        law = StudentT.fit(vectors)
        drawn = law.sample(_EVIDENCE_DRAWS, seeds.tensor_seed(self._seed, "evidence"))
        before = density.target.undefined.numpy()
        target = np.asarray(density.of_vectors(drawn, density.tensors(self._data)), np.float64)
        self.undefined += int(density.target.undefined.numpy() - before)
        self.evaluations += _EVIDENCE_DRAWS
        weights = Weights.smooth(target - law.log_prob(drawn).numpy())
        if not weights.reliable:
            return np.nan, np.nan
        return weights.log_evidence, weights.log_evidence_error


METHODS: dict[str, Callable[[Refinement], Refined | None]] = {
    "importance": Refinement._importance,
    "nuts": Refinement._nuts,
    "smc": Refinement._smc,
}
