"""Coordinates with straight ridges of a posterior, and angles without ends."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bayesinn.summaries.fitted.working_model import Parameters, WorkingModel, difference_points, within_turn
from bayesinn.summaries.frame import Frame


class Straightening(WorkingModel):
    """A working model with parameters that compensate changes of others.

    An author names them in :attr:`compensating`, and writes :meth:`compensate`.
    """

    compensating: tuple[tuple[str, ...], ...] = ()
    """Parameters that can compensate changes of others, in the order of calls of :meth:`compensate`."""

    def compensate(
        self, names: tuple[str, ...], parameters: Parameters, fitted: Parameters
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Return values of some parameters that leave the data much as for the fitted ones, whatever the others are.

        They need not be exact, but must be finite and within the prior's support, and equal the fitted values for the
        fitted parameters.

        Parameters
        ----------
        names : tuple of str
            An element of :attr:`compensating`.
        parameters : dict of name to tensor (n, *event)
            Those that compensate nothing, and those of earlier elements, may be used.
        fitted : dict of name to tensor (n, *event), or (1, *event) for all

        Returns
        -------
        values : dict of each of the names to tensor (n, *event)
        widths : dict of name to tensor (n,)
            Log ratios of the posterior width there to that at the fitted value, in elements of the vector and for equal
            information; zero for names that are left out. For numbers only.
        """
        raise NotImplementedError

    def straighten(self, vector: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Return offsets from the location, in coordinates in which a ridge of the posterior is nearly straight.

        Compensating elements are measured from their compensating values, in proportion to their information fraction:
        what only the prior determines depends on no other parameter. Angles are rotated, the fitted one to the centre.

        Returns
        -------
        offset : tensor (n, d), zero for the location
        log_det : tensor (n,), log absolute determinant of d offset / d vector
        """
        return self._straighten(vector, frame.location, frame.information_fraction)

    def _straighten(
        self, vector: tf.Tensor, fitted: tf.Tensor, information_fraction: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        parameters, of_fit = self._plausible(vector), self.parameters_of(fitted)
        changes, log_widths = tf.zeros_like(vector), tf.zeros_like(vector)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, information_fraction)
            changes, log_widths = changes + change, log_widths + log_width
        rotated, log_det = self._rotated(vector, {name: -angle for name, angle in self.angles(fitted).items()})
        offset = (vector - fitted - changes) * tf.exp(-log_widths)
        return self._with_angles(offset, rotated - self._zero_angles()), log_det - tf.reduce_sum(log_widths, axis=-1)

    def unstraighten(self, offset: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`straighten`; a frame of one row serves all offsets."""
        fitted = frame.location
        rotated, log_det = self._rotated(offset + self._zero_angles(), self.angles(fitted))
        vector = self._with_angles(offset + fitted, rotated)
        parameters, of_fit = self._plausible(vector), self.parameters_of(fitted)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, frame.information_fraction)
            vector += change + offset * tf.math.expm1(log_width)
            log_det += tf.reduce_sum(log_width, axis=-1)
            parameters |= self._plausible(vector, names, parameters)
        return vector, log_det

    def _plausible(
        self, vector: tf.Tensor, names: tuple[str, ...] | None = None, given: dict[str, tf.Tensor] | None = None
    ) -> dict[str, tf.Tensor]:
        """Return parameters within the reach of the prior; others may overflow, and what compensates them is NaN."""
        reach = self.space.reach
        return self.space.from_vector(tf.clip_by_value(vector, -reach, reach), names, given)

    def _compensation(
        self,
        names: tuple[str, ...],
        parameters: Parameters,
        fitted: tf.Tensor,
        of_fit: Parameters,
        information_fraction: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return changes and log widths, (n, d); zero for all elements but those of the names."""
        values, log_widths = self.compensate(names, parameters, of_fit)
        change = self.space.to_vector({**parameters, **values}, names)[0] - fitted * self.space.elements_of(names)
        widths = sum(
            (width[:, None] * self.space.elements_of((name,)) for name, width in log_widths.items()),
            start=tf.zeros_like(change),
        )
        return information_fraction * change, information_fraction * widths

    def _rotated(self, vector: tf.Tensor, angles: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the angles of vectors of the space after a rotation, as elements of vectors, and log determinants."""
        if not self.periodic:
            return vector, tf.zeros_like(vector[:, 0])
        parameters = self.space.from_vector(vector)
        rotated = {name: within_turn(parameters[name] + angle) for name, angle in angles.items()}
        # A rotation does not change volumes of the parameters.
        after, log_det_after = self.space.to_vector({**parameters, **rotated}, self.periodic)
        _, log_det_before = self.space.to_vector(parameters, self.periodic)
        return after, log_det_after - log_det_before

    def _with_angles(self, vector: tf.Tensor, angles: tf.Tensor) -> tf.Tensor:
        """Return the first vectors, with the angles of the second."""
        return tf.where(self.space.elements_of(self.periodic) > 0.0, angles, vector)

    def _zero_angles(self) -> tf.Tensor:
        """Return a vector (1, d) of the space in which all angles are zero, and all other elements too."""
        zeros = tf.zeros((1, self.space.dimension))
        if not self.periodic:
            return zeros
        centre = self.space.from_vector(zeros)
        return self.space.to_vector({**centre, **{name: tf.zeros(1) for name in self.periodic}}, self.periodic)[0]

    def straightening_slopes(self, steps: np.ndarray, vector: tf.Tensor, information_fraction: tf.Tensor) -> tf.Tensor:
        """Return derivatives (n, d, d) of straightened vectors by vectors (n, d) of a fit, at the fitted ones."""
        points = self.space.to_vector(self.parameters_of(self.wrap_angles(difference_points(vector, steps))))[0]
        repeats = (1 + len(steps), 1)
        points, _ = self._straighten(points, tf.tile(vector, repeats), tf.tile(information_fraction, repeats))
        points = tf.reshape(points, (1 + len(steps), -1, len(steps)))
        slopes = (points[1:] - points[0]) / steps[:, None, None]
        return tf.cast(tf.transpose(slopes, (1, 2, 0)), tf.float64)
