"""Which weights decay, and how much slower the layers near the input learn."""

from typing import Any

from torch import nn

from maskwise.layers.transformer import Transformer
from maskwise.patches.model import MaskedModel


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Say whether a parameter has weight decay; biases, norms, tokens and positions do not."""
    return parameter.ndim > 1 and not name.endswith(("token", "positions", "bias"))


def encoder_groups(model: MaskedModel, decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return the encoder's parameters as groups of an optimizer, by layer.

    Of an encoder of D blocks, the embedding, the class token and the positions are layer 0, block
    i = 1..D is layer i, and what follows is layer D + 1, whose rate is whole. Layer l has the
    "scale" ``decay ** (D + 1 - l)``. An encoder that is no transformer of ours is one block.

    Args:
        model: whose encoder; what only predicts hidden positions is left out.
        decay: scale of a layer over that of the next one.
        weight_decay: of the matrices.

    Source: Bao et al., BEiT (arXiv 2106.08254); He et al., Masked Autoencoders Are Scalable Vision
    Learners (arXiv 2111.06377), appendix A.1.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith(("embed.", "class_token", "positions", "encoder.")):
            key = (_layer(model, name), decays(name, parameter))
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "scale": decay ** (model.num_layers + 1 - layer),
            "weight_decay": weight_decay if decaying else 0.0,
        }
        for (layer, decaying), parameters in groups.items()
    ]


def _layer(model: MaskedModel, name: str) -> int:
    first, *rest = name.split(".")
    if first != "encoder":
        return 0
    if not isinstance(model.encoder, Transformer):
        return 1
    return int(rest[1]) + 1 if rest[0] == "blocks" else model.num_layers + 1
