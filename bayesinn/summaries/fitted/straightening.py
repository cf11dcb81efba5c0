"""Coordinates with straight ridges of a posterior, and angles without ends."""

import numpy as np
import tensorflow as tf

from bayesinn.summaries.fitted.working_model import (
    Parameters,
    WorkingModel,
    difference_points,
    within_turn,
)
from bayesinn.summaries.frame import Frame


class Straightening(WorkingModel):
    """A working model with parameters that compensate changes of others; see :meth:`compensate`."""

    #: Parameters that can compensate changes of others, in the order of calls of
    #: :meth:`compensate`.
    compensating: tuple[tuple[str, ...], ...] = ()

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

    def straighten(self, vector: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Return offsets from the location, in coordinates that make a ridge nearly straight.

        It is a ridge of the posterior.

        Compensating elements are measured from their compensating values, in proportion to their
        information fraction: what only the prior determines depends on no other parameter. Angles
        are rotated, the fitted one to the centre.
        """
        parameters = self.space.from_vector(self._plausible(vector))
        fitted = self.parameters_of(frame.location)
        changes = tf.zeros_like(vector)
        log_widths = tf.zeros_like(vector)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, frame)
            changes = changes + change
            log_widths = log_widths + log_width
        rotated, log_det = self._rotated(
            vector, {name: -angle for name, angle in self.angles(frame.location).items()}
        )
        offset = (vector - frame.location - changes) * tf.exp(-log_widths)
        return self._with_angles(offset, rotated - self._zero_angles()), log_det - tf.reduce_sum(
            log_widths, axis=-1
        )

    def unstraighten(self, offset: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        rotated, log_det = self._rotated(offset + self._zero_angles(), self.angles(frame.location))
        vector = self._with_angles(offset + frame.location, rotated)
        parameters = self.space.from_vector(self._plausible(vector))
        fitted = self.parameters_of(frame.location)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, frame)
            vector += change + offset * tf.math.expm1(log_width)
            log_det += tf.reduce_sum(log_width, axis=-1)
            parameters |= self.space.from_vector(self._plausible(vector), names, parameters)
        return vector, log_det

    def _plausible(self, vector: tf.Tensor) -> tf.Tensor:
        """Return vectors within the prior's reach; others may overflow, their compensation NaN."""
        return tf.clip_by_value(vector, -self.space.reach, self.space.reach)

    def _compensation(
        self, names: tuple[str, ...], parameters: Parameters, fitted: Parameters, frame: Frame
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return changes and log widths (n, d), zero for all elements but those of the names."""
        values, log_widths = self.compensate(names, parameters, fitted)
        change = self.space.to_vector({**parameters, **values}, names)[0]
        change -= frame.location * self.space.elements_of(names)
        widths = tf.zeros_like(change)
        for name, width in log_widths.items():
            widths += width[:, None] * self.space.elements_of((name,))
        return frame.information_fraction * change, frame.information_fraction * widths

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
        # Without root and estimate, which play no part.
        points, _ = self.straighten(points, Frame(location, vector[:0], fraction, vector[:0]))
        points = tf.reshape(points, (1 + len(steps), -1, len(steps)))
        slopes = (points[1:] - points[0]) / steps[:, None, None]
        return tf.cast(tf.transpose(slopes, (1, 2, 0)), tf.float64)
