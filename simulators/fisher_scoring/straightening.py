"""Coordinates with straight ridges of a posterior, and angles without ends."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError
from bayesinn.spaces.parameters import ParameterSpace

# Radians in one unit of a fit's vector; near zero, a uniform prior's vector has the same unit.
_RADIANS = math.pi**2 / math.sqrt(12.0)
# Ends of angles; and an element of a vector so far out that it stands for such an end.
_ENDS = np.array([-np.pi, np.pi])
_FAR = 30.0

Parameters = Mapping[str, tf.Tensor]


class Straightening(Registered):
    """Coordinates in which parameters that compensate changes of others stay where they are.

    Vectors are (n, d), parameters (n, *event). Vectors of a fit are those of the space, but that
    angles (:attr:`periodic`) go on past the ends of their range.
    """

    space: ParameterSpace

    #: Parameters that can compensate changes of others, in the order of calls of
    #: :meth:`compensate`.
    compensating: tuple[tuple[str, ...], ...] = ()
    #: Angles from -pi to pi with a nearly uniform prior; both ends are the same angle.
    periodic: tuple[str, ...] = ()
    #: Parameters that the simulator rounds to whole numbers: the data don't depend on their
    #: fractions.
    rounded: tuple[str, ...] = ()

    def compensate(
        self, names: tuple[str, ...], parameters: Parameters, fitted: Parameters
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Return values of parameters that leave the data as for the fitted ones.

        They leave the data much the same, whatever the other parameters are.

        They need not be exact, but must be finite and within the prior's support, and equal the
        fitted values for the fitted parameters.

        Parameters
        ----------
        names : tuple of str, an element of :attr:`compensating`
        parameters : dict of name to tensor (n, *event)
            Those that compensate nothing, and those of earlier elements, may be used.
        fitted : dict of name to tensor (n, *event), or (1, *event) for all

        Returns
        -------
        values : dict of each of the names to tensor (n, *event)
        widths : dict of name to tensor (n,)
            Log ratios of the posterior width there to that at the fitted value, in elements of the
            vector and for equal information; zero for names that are left out. For numbers only.
        """
        raise NotImplementedError

    def straighten(
        self, vector: tf.Tensor, location: tf.Tensor, information_fraction: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return offsets from a fit, with a nearly straight ridge of the posterior, and log dets.

        Compensating elements are measured from their compensating values, in proportion to their
        information fraction: what only the prior determines depends on no other parameter. Angles
        are rotated, the fitted one to the centre.
        """
        parameters = self.space.from_vector(self._plausible(vector))
        fitted = self.parameters_of(location)
        changes = tf.zeros_like(vector)
        log_widths = tf.zeros_like(vector)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, location)
            changes = changes + information_fraction * change
            log_widths = log_widths + information_fraction * log_width
        rotated, log_det = self._rotated(
            vector, {name: -angle for name, angle in self.angles(location).items()}
        )
        offset = (vector - location - changes) * tf.exp(-log_widths)
        return self._with_angles(offset, rotated - self._zero_angles()), log_det - tf.reduce_sum(
            log_widths, axis=-1
        )

    def unstraighten(
        self, offset: tf.Tensor, location: tf.Tensor, information_fraction: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`straighten`; a location of one row serves all offsets."""
        rotated, log_det = self._rotated(offset + self._zero_angles(), self.angles(location))
        vector = self._with_angles(offset + location, rotated)
        parameters = self.space.from_vector(self._plausible(vector))
        fitted = self.parameters_of(location)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, location)
            log_width = information_fraction * log_width
            vector += information_fraction * change + offset * tf.math.expm1(log_width)
            log_det += tf.reduce_sum(log_width, axis=-1)
            parameters |= self.space.from_vector(self._plausible(vector), names, parameters)
        return vector, log_det

    def parameters_of(self, vector: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return parameters for the vectors of a fit."""
        return {**self.space.from_vector(vector), **self.angles(vector)}

    def vector_of(self, parameters: Parameters) -> tf.Tensor:
        """Invert :meth:`parameters_of`."""
        vector = self.space.to_vector(parameters)[0]
        for name in self.periodic:
            is_angle = self.space.elements_of((name,))
            vector = tf.where(is_angle > 0.0, parameters[name][:, None] / _RADIANS, vector)
        return vector

    def wrap_angles(self, vector: tf.Tensor) -> tf.Tensor:
        """Return vectors of a fit with angles between -pi and pi."""
        for name, angle in self.angles(vector).items():
            vector += (
                (within_turn(angle) - angle)[:, None] / _RADIANS * self.space.elements_of((name,))
            )
        return vector

    def angles(self, vector: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return angles (n,) for the vectors of a fit, by name."""
        return {
            name: _RADIANS * tf.reduce_sum(vector * self.space.elements_of((name,)), axis=-1)
            for name in self.periodic
        }

    def check_priors(self, parameters: ParameterSpace) -> None:
        """Check angles' ends, and that no prior depends on what compensates.

        Otherwise straightening has no inverse.
        """
        compensating = {name for names in self.compensating for name in names}
        ends = parameters.from_vector(
            tf.constant([[-_FAR], [_FAR]]) * tf.ones((2, parameters.dimension))
        )
        wrong = [
            name
            for name in self.periodic
            if ends[name].shape != (2,) or np.any(np.abs(ends[name] - _ENDS) > 0.1)
        ]
        if wrong:
            expected = "numbers between -pi and pi"
            got = f"other priors of {wrong}"
            do = "give them Uniform(-pi, pi) as a prior, and shift them in the simulator"
            raise InputError(f"{type(self).__name__}.periodic", expected=expected, got=got, do=do)
        dependent = sorted(
            name for name in parameters.names if compensating & set(parameters.prior.needs[name])
        )
        if dependent:
            expected = "parameters on which no prior depends"
            got = f"some on which those of {dependent} do"
            do = "let others compensate, or make these priors independent"
            raise InputError(
                f"{type(self).__name__}.compensating", expected=expected, got=got, do=do
            )

    def _plausible(self, vector: tf.Tensor) -> tf.Tensor:
        """Return vectors within the prior's reach; others may overflow, their compensation NaN."""
        return tf.clip_by_value(vector, -self.space.reach, self.space.reach)

    def _compensation(
        self,
        names: tuple[str, ...],
        parameters: Parameters,
        fitted: Parameters,
        location: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return changes and log widths (n, d), zero for all elements but those of the names.

        They are those of full information.
        """
        values, log_widths = self.compensate(names, parameters, fitted)
        change = self.space.to_vector({**parameters, **values}, names)[0]
        change -= location * self.space.elements_of(names)
        widths = tf.zeros_like(change)
        for name, width in log_widths.items():
            widths += width[:, None] * self.space.elements_of((name,))
        return change, widths

    def _rotated(self, vector: tf.Tensor, angles: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Return rotated angles of vectors, as elements of vectors, and log determinants.

        The vectors are those of the space.
        """
        if not self.periodic:
            return vector, tf.zeros_like(vector[:, 0])
        parameters = self.space.from_vector(vector)
        rotated = {name: within_turn(parameters[name] + angle) for name, angle in angles.items()}
        # A rotation does not change volumes of the parameters.
        after, log_det_after = self.space.to_vector({**parameters, **rotated}, self.periodic)
        _, log_det_before = self.space.to_vector(parameters, self.periodic)
        return after, log_det_after - log_det_before

    def _with_angles(self, vector: tf.Tensor, angles: tf.Tensor) -> tf.Tensor:
        return tf.where(self.space.elements_of(self.periodic) > 0.0, angles, vector)

    def _zero_angles(self) -> tf.Tensor:
        """Return the vector (1, d) of the space with angles of zero; others are zero, too."""
        zeros = tf.zeros((1, self.space.dimension))
        if not self.periodic:
            return zeros
        parameters = {**self.space.from_vector(zeros), **dict.fromkeys(self.periodic, tf.zeros(1))}
        return self.space.to_vector(parameters, self.periodic)[0]

    def straightening_slopes(
        self, steps: np.ndarray, vector: tf.Tensor, information_fraction: tf.Tensor
    ) -> tf.Tensor:
        """Return derivatives (n, d, d) of straightened vectors by vectors (n, d) of a fit.

        The derivatives are taken at the fitted ones.
        """
        points = self.space.to_vector(
            self.parameters_of(self.wrap_angles(difference_points(vector, steps)))
        )[0]
        location, fraction = (
            tf.tile(part, (1 + len(steps), 1)) for part in (vector, information_fraction)
        )
        points, _ = self.straighten(points, location, fraction)
        points = tf.reshape(points, (1 + len(steps), -1, len(steps)))
        slopes = (points[1:] - points[0]) / steps[:, None, None]
        return tf.cast(tf.transpose(slopes, (1, 2, 0)), tf.float64)


def difference_points(vector: tf.Tensor, steps: np.ndarray) -> tf.Tensor:
    """Return vectors (n, d), then these with one element changed at a time, ((1 + d) * n, d)."""
    offsets = np.eye(1 + len(steps), len(steps), -1, np.float32) * steps
    return tf.reshape(vector + offsets[:, None, :], (-1, len(steps)))


def within_turn(angle: tf.Tensor) -> tf.Tensor:
    """Return the same angle between -pi and pi."""
    return angle - 2.0 * math.pi * tf.round(angle / (2.0 * math.pi))
