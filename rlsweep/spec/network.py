"""`network:` of a spec: which torso stands in front of the policy and value (or Q) heads.

The words are those of RLlib's DefaultModelConfig, so that an RLlib model carries over as it is.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlsweep.spec.model import SpecModel

Activation = Literal["relu", "tanh", "silu"]
Width = Annotated[int, Field(gt=0)]
Widths = tuple[Width, ...]

Precision = Literal["auto", "bf16", "fp32"]
"""What the layers below the heads compute in; `auto` is bf16 where the hardware has it, otherwise fp32."""


class NatureCnnSpec(SpecModel):
    """The network of Mnih et al. 2015: three convolutions and 512 features."""

    name: Literal["nature_cnn"]
    vf_share_layers: bool = True
    precision: Precision = "auto"


class ImpalaResnetSpec(SpecModel):
    """The deep network of Espeholt et al. 2018 (IMPALA), figure 3 right, without the LSTM."""

    name: Literal["impala_resnet"]
    channels: Annotated[Widths, Field(min_length=1)] = (16, 32, 32)
    vf_share_layers: bool = True
    precision: Precision = "auto"


class CnnSpec(SpecModel):
    """Convolutions as RLlib's default encoder builds them.

    Attributes:
        conv_filters: [out channels, kernel, stride] of each layer, padded to `ceil(size / stride)`.
        head_fcnet_hiddens: hidden layers of the policy head and, apart, of the value head.
    """

    name: Literal["cnn"]
    conv_filters: Annotated[tuple[tuple[Width, Width, Width], ...], Field(min_length=1)]
    conv_activation: Activation = "relu"
    head_fcnet_hiddens: Widths = (256,)
    head_fcnet_activation: Activation = "relu"
    vf_share_layers: bool = True
    precision: Precision = "auto"


class MlpSpec(SpecModel):
    """Dense layers for flat observations.

    Two hidden layers of 64 with tanh, policy and value apart, as in Schulman et al. 2017, section 6.1.
    Layers so small win nothing in bf16.
    """

    name: Literal["mlp"]
    fcnet_hiddens: Annotated[Widths, Field(min_length=1)] = (64, 64)
    fcnet_activation: Activation = "tanh"
    vf_share_layers: bool = False
    precision: Precision = "fp32"


NetworkSpec = Annotated[NatureCnnSpec | ImpalaResnetSpec | CnnSpec | MlpSpec, Field(discriminator="name")]
