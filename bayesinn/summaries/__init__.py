"""Summary networks: they compress an observable into the flow's condition, mostly a vector.

- :class:`ConvLSTM`: series, (n, steps) or (n, steps, channels).
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

import bayesinn.core.environment  # noqa: F401
from bayesinn.core.dropout import Dropout as Dropout
from bayesinn.summaries.conv_image import ConvImage as ConvImage
from bayesinn.summaries.conv_lstm import ConvLSTM as ConvLSTM
from bayesinn.summaries.deep_set import DeepSet as DeepSet
from bayesinn.summaries.identity import Identity as Identity
from bayesinn.summaries.mlp import MLP as MLP
from bayesinn.summaries.noisy import Noisy as Noisy
from bayesinn.summaries.power_spectrum import PowerSpectrum as PowerSpectrum
from bayesinn.summaries.set_transformer import SetTransformer as SetTransformer
from bayesinn.summaries.summary import Summary as Summary
from bayesinn.summaries.transformer import Transformer as Transformer
