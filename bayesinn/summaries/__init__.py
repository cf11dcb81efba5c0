"""Summary networks: they compress an observable into the flow's condition, mostly a vector.

- :class:`ConvLSTM`: series, (n, steps) or (n, steps, channels).
- :class:`Steps`: series, for parameters that are series of as many steps.
- :class:`DeepSet`: sets of exchangeable elements, (n, elements) or (n, elements, features).
- :class:`SetTransformer`: the same, if relations between elements matter.
- :class:`Transformer`: series by attention, and sets with time stamps, for irregular sampling.
- :class:`ConvImage`: images, (n, height, width) or (n, height, width, channels); also maps, for
  parameters that are images.
- :class:`PowerSpectrum`: images that are random fields, by the power of their waves.
- :class:`MLP`: vectors of many features.
- :class:`Identity`: the data themselves, if they are few.
- :class:`Noisy`: another summary, trained on data with errors, for data that the simulator doesn't
  fit.
- :class:`Summary`: the contract, to write another; :class:`Dropout` is a layer for it, as Keras' is
  slow under XLA.

Arguments of many summaries:

- ``units``: length of the summary
- ``hidden``: units of the hidden layers
- ``activation``: name of a Keras activation

Data ``x`` are (n, steps) or (n, elements), or have a third axis of channels or features. A boolean
``mask`` (n, steps) is True for data and False for padding. Series are padded on the right.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.core.compilation import Dropout as Dropout
from bayesinn.summaries.images import ConvImage as ConvImage, PowerSpectrum as PowerSpectrum
from bayesinn.summaries.series import (
    ConvLSTM as ConvLSTM,
    Steps as Steps,
    Transformer as Transformer,
)
from bayesinn.summaries.sets import DeepSet as DeepSet, SetTransformer as SetTransformer
from bayesinn.summaries.summary import Summary as Summary
from bayesinn.summaries.vectors import MLP as MLP, Identity as Identity, Noisy as Noisy
