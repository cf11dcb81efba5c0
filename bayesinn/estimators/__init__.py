"""Estimators: fitting, checkpoints, history, saving and loading for all that is estimated."""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.estimators.estimator import Estimator as Estimator, Joined as Joined
from bayesinn.estimators.loading import load as load
from bayesinn.training.trainable import Trainable as Trainable
