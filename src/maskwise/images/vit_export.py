"""Models of images as timm and transformers load them: vision transformers, and masked ones."""

import logging
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from maskwise.errors import UserError
from maskwise.files import Entries, write_json
from maskwise.images.images import Images
from maskwise.images.vit_names import HF, TIMM, Style, names_of, to_theirs
from maskwise.layers.transformer import Transformer
from maskwise.patches.model import PatchModel

log = logging.getLogger("maskwise")
TIMM_EPS = 1e-6
SIZES = {
    (192, 12, 3): ("tiny", (16,)),
    (384, 12, 6): ("small", (8, 16, 32)),
    (768, 12, 12): ("base", (8, 16, 32)),
    (1024, 24, 16): ("large", (14, 16, 32)),
    (1280, 32, 16): ("huge", (14,)),
}
"""width, depth and heads -> what timm calls that, and the patches that it has it with"""


def to_timm(model: PatchModel, folder: Path) -> None:
    """Write an encoder that ``timm.create_model(NAME, checkpoint_path=...)`` loads.

    config.json says the name and the arguments; those of one of timm's usual shapes need none but
    ``num_classes=0``. ``timm.create_model("local-dir:FOLDER", pretrained=True)`` reads it itself.

    Raises:
        UserError: the encoder is not ours.
    """
    images, config = _checked(model, "timm"), model.config
    args: Entries = {
        "img_size": [images.height, images.width],
        "patch_size": list(images.patch),
        "in_chans": images.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": config.mlp_ratio,
    }
    if not config.class_token:  # the last norm stands before the mean, as ours does
        args |= {"class_token": False, "global_pool": "avg", "fc_norm": False}
    if config.eps != TIMM_EPS:
        log.warning(
            "timm's LayerNorms add %g to variances, and those of this model %g: give create_model"
            " norm_layer=functools.partial(torch.nn.LayerNorm, eps=%g) for equal features",
            *(TIMM_EPS, config.eps, config.eps),
        )
    save_file(_weights(model, TIMM), folder / "model.safetensors", {"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "architecture": timm_name(model),
            "num_classes": 0,
            "num_features": config.width,
            "model_args": args,
            "pretrained_cfg": pixels_of(images),
            "norm_eps": config.eps,
        },
    )


def pixels_of(images: Images) -> Entries:
    """Return what timm's config.json says of the pictures that a network reads."""
    mean, std = _shares(images)
    return {
        "input_size": list(images.shape),
        "fixed_input_size": True,
        "mean": mean,
        "std": std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "num_classes": 0,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }


def timm_name(model: PatchModel) -> str:
    """Return the name of timm's model of the same shape, or of one that takes any by arguments."""
    config, images = model.config, model.tokenizer
    assert isinstance(images, Images)
    size, patches = SIZES.get((config.width, config.depth, config.heads), ("tiny", ()))
    patch = images.patch[0] if images.patch[0] in patches else 16
    return f"vit_{size}_patch{patch}_224"


def to_hf_vit(model: PatchModel, folder: Path) -> None:
    """Write an encoder that ``ViTModel.from_pretrained(..., add_pooling_layer=False)`` loads.

    Raises:
        UserError: the encoder is not ours, or has no class token.
    """
    images = _checked(model, "hf-vit")
    _require_class_token(model, "hf-vit")
    save_file(_weights(model, HF), folder / "model.safetensors", {"format": "pt"})
    write_json(
        folder / "config.json",
        {"architectures": ["ViTModel"], "model_type": "vit", **_hf_config(model, images)},
    )
    write_json(folder / "preprocessor_config.json", _processor(images))


def to_hf_vitmae(model: PatchModel, folder: Path) -> None:
    """Write encoder and decoder so that ``ViTMAEForPreTraining.from_pretrained`` loads them.

    Positions are written as they are: transformers, which does not learn them, may not make any.

    Raises:
        UserError: the encoder is not ours, or has no class token; or there is no decoder; or
            images or patches are no squares, which ViTMAE takes alone.
    """
    images, config = _checked(model, "hf-vitmae"), model.config
    _require_class_token(model, "hf-vitmae")
    if config.mode != "drop":
        raise UserError("hf-vitmae needs a decoder, which models of model.mode 'replace' lack")
    if images.height != images.width or images.patch[0] != images.patch[1]:
        raise UserError(
            f"hf-vitmae takes squares: these images have {images.height}x{images.width} pixels and"
            f" patches {images.patch[0]}x{images.patch[1]}"
        )
    weights = {
        f"{'' if name.startswith('decoder.') else 'vit.'}{name}": value
        for name, value in _weights(model, HF, config.decoder_depth).items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    behind: Entries = {
        "decoder_hidden_size": config.decoder_width,
        "decoder_num_hidden_layers": config.decoder_depth,
        "decoder_num_attention_heads": config.decoder_heads,
        "decoder_intermediate_size": int(config.decoder_width * config.mlp_ratio),
        "norm_pix_loss": images.target == "normalised",
    }
    named = {"architectures": ["ViTMAEForPreTraining"], "model_type": "vit_mae"}
    write_json(folder / "config.json", {**named, **_hf_config(model, images), **behind})
    write_json(folder / "preprocessor_config.json", _processor(images))


def _checked(model: PatchModel, format: str) -> Images:
    if not isinstance(model.encoder, Transformer):
        raise UserError(f"{format} is a format of our transformer, and this encoder is your own")
    assert isinstance(model.tokenizer, Images)
    return model.tokenizer


def _require_class_token(model: PatchModel, format: str) -> None:
    if not model.has_class_token:
        raise UserError(
            f"{format} needs a class token, which models of model.class_token false lack: export"
            " this one as timm"
        )


def _weights(
    model: PatchModel, style: Style, decoder_depth: int | None = None
) -> dict[str, Tensor]:
    """Return weights under the names of others; positions also where they are a formula."""
    images, config = model.tokenizer, model.config
    assert isinstance(images, Images)
    names = names_of(style, config.depth, decoder_depth, class_token=config.class_token)
    ours = {**model.state_dict(), "positions": model.positions}
    if decoder_depth is not None:
        ours["decoder_positions"] = model.decoder_positions
    return to_theirs(ours, names, images.patch)


def _shares(images: Images) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of channels as shares of white."""
    mean, std = ([each / images.white for each in values] for values in (images.mean, images.std))
    return mean, std


def _hf_config(model: PatchModel, images: Images) -> Entries:
    config, (height, width) = model.config, images.patch
    square = images.height == images.width
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": int(config.width * config.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": config.eps,
        "image_size": images.height if square else [images.height, images.width],
        "patch_size": height if height == width else [height, width],
        "num_channels": images.channels,
        "qkv_bias": True,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "dtype": "float32",
    }


def _processor(images: Images) -> Entries:
    """Return what makes pixels of pictures as the model read them: resized and standardised."""
    mean, std = _shares(images)
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": images.height, "width": images.width},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / images.white,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }
