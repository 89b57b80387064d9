"""The network: convolutions, dense layers, activations."""

from __future__ import annotations

from functools import partial

from rlsweep.legacy import keys, values
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.experiment import Experiment, OldKey


def convert_network(old: Experiment, new: Draft, is_atari: bool) -> None:
    """`network`: a cnn where filters were written, else nature_cnn for an ALE game, mlp for the rest."""
    filters = old.take("model.conv_filters")
    hiddens = [old.take(name, default=[]) for name in ("model.post_fcnet_hiddens", "hiddens")]
    if filters.is_written:
        has_size = is_atari and not filters.is_grid
        pixels = old.look(*keys.NAMES["env.resolution"], default=keys.DIM).count if has_size else 0
        new.write("network.name", "cnn", "", filters.where)
        if new.put("network.conv_filters", partial(values.convolutions, pixels=pixels), filters):
            widths = values.dense(filters.values[0], pixels)
            last = [OldKey("last of model.conv_filters", widths, filters.where)] if widths else []
            new.put("network.head_fcnet_hiddens", values.joined, *last, *hiddens)
    elif is_atari:
        new.write("network.name", "nature_cnn", "old RLlib's own had 16 and 32 filters and 256 features")
        for key in hiddens:
            new.drop(key, "nature_cnn has 512 features of its own")
    else:
        new.write("network.name", "mlp")
        first = old.take("model.fcnet_hiddens", default=keys.FCNET_HIDDENS)
        activation = old.take(*keys.NAMES["network.fcnet_activation"], default=keys.FCNET_ACTIVATION)
        new.put("network.fcnet_hiddens", values.joined, first, *hiddens)
        new.put("network.fcnet_activation", values.activation, activation)
