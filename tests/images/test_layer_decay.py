import torch

from maskwise.images.images import Images
from maskwise.images.layer_decay import encoder_groups
from maskwise.patches.model import MaskedModel, Model

IMAGES = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
SMALL = {"width": 8, "depth": 3, "heads": 2, "decoder_width": 8, "decoder_depth": 1}


def settings_of(model: MaskedModel) -> dict[str, tuple[float, float]]:
    """The scale and the weight decay of each parameter that is trained."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [
        (names[parameter], (group["scale"], group["weight_decay"]))
        for group in encoder_groups(model, 0.5, 0.05)
        for parameter in group["params"]
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_parameter_of_the_encoder_has_the_rate_of_its_layer() -> None:
    found = settings_of(MaskedModel(IMAGES, Model(positions="learned", **SMALL)))
    # Three blocks: the input is layer 0 of 4.
    assert found.pop("embed.weight") == (1 / 16, 0.05)
    for name in ("embed.bias", "class_token", "positions"):
        assert found.pop(name) == (1 / 16, 0.0)
    for block, scale in enumerate((1 / 8, 1 / 4, 1 / 2)):
        for name in ("qkv", "project", "mlp.0", "mlp.2"):
            assert found.pop(f"encoder.blocks.{block}.{name}.weight") == (scale, 0.05)
            assert found.pop(f"encoder.blocks.{block}.{name}.bias") == (scale, 0.0)
        for name in ("norm1", "norm2"):
            assert found.pop(f"encoder.blocks.{block}.{name}.weight") == (scale, 0.0)
            assert found.pop(f"encoder.blocks.{block}.{name}.bias") == (scale, 0.0)
    # The norm after the last block; the decoder, the head and the mask token are left out.
    assert found == {"encoder.norm.weight": (1.0, 0.0), "encoder.norm.bias": (1.0, 0.0)}


def test_an_encoder_of_your_own_is_one_block() -> None:
    config = Model(mode="replace", class_token=False, **SMALL)
    found = settings_of(MaskedModel(IMAGES, config, encoder=torch.nn.Linear(8, 8)))
    assert found == {
        "embed.weight": (0.25, 0.05),
        "embed.bias": (0.25, 0.0),
        "encoder.weight": (0.5, 0.05),
        "encoder.bias": (0.5, 0.0),
    }


def test_without_decay_all_layers_learn_alike() -> None:
    model = MaskedModel(IMAGES, Model(**SMALL))
    assert {group["scale"] for group in encoder_groups(model, 1.0, 0.05)} == {1.0}
