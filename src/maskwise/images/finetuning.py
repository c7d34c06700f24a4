"""Fine-tuning of an image model by MAE's protocol: the encoder and a linear classifier."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from maskwise.errors import UserError, option
from maskwise.images.augment import crop_and_flip, erase, mix, soft_targets
from maskwise.images.data import CropScale, Sides
from maskwise.images.images import Images, ImageSplits
from maskwise.images.sizes import at_size, of_size
from maskwise.inspection import Problem
from maskwise.layers.transformer import Block, Transformer
from maskwise.measure.finetuning import fit, over_seeds, trainable
from maskwise.measure.probes import unscored, unseen
from maskwise.modality import Entries
from maskwise.patches.arrays import read_ahead
from maskwise.patches.model import PatchModel
from maskwise.patches.own_vit import ViTReader
from maskwise.patches.sizes import on_grid
from maskwise.rng import Keys, shuffled
from maskwise.settings import settings
from maskwise.train.config import decays

LOWEST_RATE, WEIGHT_DECAY, BETAS = 1e-6, 0.05, (0.9, 0.999)
TEST_BATCH = 512
Share = Annotated[float, Field(ge=0, lt=1)]
ParamGroup = dict[str, object]


@settings
class ImageFineTuneSettings:
    """How image models are fine-tuned."""

    seeds: tuple[int, ...] = ()
    """Runs, which differ in the first weights of the classifier, the order of the images and what
    is done to them; none: nothing is fine-tuned."""
    epochs: PositiveInt = 100
    """Passes over the images (MAE: 100 for ViT-B, 50 for L and H)."""
    warmup: NonNegativeInt = 5
    """Epochs of them with a rising learning rate."""
    batch_size: PositiveInt = 128
    """Images in a step (MAE: 1024)."""
    lr: PositiveFloat = 4e-3
    """Highest learning rate of the classifier if a step had 256 images; it is multiplied by their
    number over 256 (MAE: 5e-4 for ViT-B, 1e-3 for L and H; what small batches make of that is too
    little for small models)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Learning rate of a block over that of the next one (MAE: 0.65 for ViT-B, 0.75 for L, H)."""
    drop_path: Share = 0.1
    """How often an image skips a branch of the last block; it rises from 0 at the first (MAE: 0.1
    for ViT-B, 0.2 for L, 0.3 for H)."""
    mixup: NonNegativeFloat = 0.8
    """Mixup: parameter of the Beta that shares are drawn from; 0 = none."""
    cutmix: NonNegativeFloat = 1.0
    """CutMix: the same; where both are on, each batch takes one of them."""
    smoothing: Share = 0.1
    """Share of the target that all classes divide among them."""
    erase: Annotated[float, Field(ge=0, le=1)] = 0.25
    """How often a box of an image is replaced by noise."""
    crop_scale: CropScale = None
    """Crop a random part with this share of the area, from low to high (MAE: 0.08,1)."""
    flip: bool = False
    """Mirror images left to right at random (MAE: true)."""
    size: Sides = None
    """Height and width in pixels (one number for a square) that images are resized to, to train
    and to test; none: those of the data."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the matrix products."""


class Classifier(nn.Module):
    """An encoder, its last LayerNorm moved behind the mean of its patches, and a linear layer."""

    def __init__(self, model: PatchModel, num_classes: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.model = trainable(model)
        if isinstance(self.model.encoder, Transformer):
            self.model.encoder.norm = nn.Identity()  # type: ignore[assignment]
        elif isinstance(self.model.encoder, ViTReader):
            self.model.encoder.without_norm()
        weight = 2e-5 * rng.standard_normal((num_classes, model.width), dtype=np.float32)
        self.norm = nn.LayerNorm(model.width, eps=model.config.eps)
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.to(next(model.parameters()).device)

    def forward(self, images: Tensor) -> Tensor:
        """Return a score for each class, [B, C]."""
        return F.linear(self.norm(self.model.encode(images, "mean")), self.weight, self.bias)


def finetune_images(
    model: PatchModel, splits: ImageSplits, config: ImageFineTuneSettings, seed: int
) -> np.ndarray:
    """Train a copy of a model and a linear classifier of its mean features; score test images.

    MAE's protocol: AdamW, a rate that grows from block to block, rises in the first epochs and
    then falls along half a cosine to 1e-6; random crops and flips, erasing, Mixup and CutMix, soft
    targets, drop path; at another size on positions between those of the model. Deviates from it:
    no RandAugment; crops are bilinear and of the stored image, which was resized and cropped at
    its centre, not of the original.

    Returns the probability of each class, float32 [M, C]. `seed` is of the classifier, the order
    of the images and what is done to them.

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377),
    appendix A.1.
    """
    model, splits = _at_size(model, splits, config.size)
    train_y, _ = check_finetuning(splits, config)
    labels, num_classes = torch.from_numpy(train_y), int(train_y.max()) + 1
    train, test = splits.train, splits.test
    assert isinstance(model.tokenizer, Images)
    mean, std = model.tokenizer.mean, model.tokenizer.std
    rng = np.random.default_rng(seed)
    tuned = Classifier(model, num_classes, rng)
    device = tuned.bias.device
    # None of an encoder that is no transformer.
    blocks = [module for module in tuned.model.encoder.modules() if isinstance(module, Block)]
    precision = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
    num_steps = len(train) // config.batch_size

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        # As in MAE, the last images of an epoch are left out if they make no batch.
        order = shuffled(len(train), seed=seed, epoch=epoch).split(config.batch_size)[:num_steps]
        for index, images in zip(order, read_ahead(train, order), strict=True):
            targets = soft_targets(labels[index].to(device), num_classes, config.smoothing)
            keys = Keys(seed, epoch, index.to(device))
            images = crop_and_flip(images.to(device), keys, config.crop_scale, config.flip)
            images = erase(images.float(), rng, config.erase, mean, std)
            yield mix(images, targets, rng, config.mixup, config.cutmix)

    def scores(images: Tensor) -> Tensor:
        with precision, dropped_paths(blocks, config.drop_path, rng):
            return tuned(images)

    def rate(step: int) -> float:
        return learning_rate(step // num_steps + step % num_steps / num_steps, config)

    groups = parameter_groups(tuned, config.layer_decay)
    optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
    fit(scores, batches, optimizer, rate, config.epochs)
    parts = torch.arange(len(test)).split(TEST_BATCH)
    with torch.no_grad(), precision:
        found = [tuned(images.to(device)).float().cpu() for images in read_ahead(test, parts)]
    return torch.cat(found).softmax(dim=1).numpy()


def _at_size(
    model: PatchModel, splits: ImageSplits, size: tuple[int, int] | None
) -> tuple[PatchModel, ImageSplits]:
    """Return a model and images for a size, if it is not theirs."""
    assert isinstance(model.tokenizer, Images)
    if size is None:
        return model, splits
    train, test = (at_size(part, size) for part in (splits.train, splits.test))
    made = on_grid(model, of_size(model.tokenizer, size))
    return made.train(model.training), ImageSplits(train, test, splits.name)


def learning_rate(epoch: float, config: ImageFineTuneSettings) -> float:
    """Return the rate of the classifier: a linear rise, then half a cosine to 1e-6."""
    highest = config.lr * config.batch_size / 256
    if epoch < config.warmup:
        return highest * epoch / config.warmup
    share = (epoch - config.warmup) / (config.epochs - config.warmup)
    return LOWEST_RATE + (highest - LOWEST_RATE) * (1 + math.cos(math.pi * share)) / 2


def image_finetune_table(
    models: Mapping[str, PatchModel], splits: ImageSplits, config: ImageFineTuneSettings
) -> list[Entries]:
    """Return the "finetuning" entry of result.json: the accuracy of each model, for all seeds."""
    if not config.seeds:
        return []
    train_y, test_y = check_finetuning(splits, config)

    def accuracy(model: PatchModel, seed: int) -> dict[str, float]:
        scores = finetune_images(model, splits, config, seed)
        return {"accuracy": float((scores.argmax(axis=1) == test_y).mean())}

    rows = []
    for name, model in models.items():
        notes = [unseen(train_y, test_y)]
        if config.drop_path and not isinstance(model.encoder, Transformer):
            notes.append("no drop path in an encoder of your own")
        row = {
            "task": splits.name,
            "model": name,
            "protocol": _protocol_name(config),
            **over_seeds(partial(accuracy, model), config.seeds, train_y, test_y),
            "epochs": config.epochs,
            "batch_size": config.batch_size,
            "lr": learning_rate(config.warmup, config),
            "note": "; ".join(filter(None, notes)),
        }
        rows.append(row)
    return rows


def check_finetuning(
    splits: ImageSplits, config: ImageFineTuneSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes to train and to test on; refuse images that cannot be fine-tuned on."""
    for problem in finetuning_problems(splits, config):
        raise UserError(problem.text)
    train_y, test_y = splits.train.labels, splits.test.labels
    assert train_y is not None
    assert test_y is not None
    return train_y, test_y


def finetuning_problems(splits: ImageSplits, config: ImageFineTuneSettings) -> list[Problem]:
    """Return what keeps images from being fine-tuned on; -1 is no label."""
    train_y, test_y = splits.train.labels, splits.test.labels
    if train_y is None or test_y is None:
        return [Problem(f"{splits.name}: fine-tuning needs labels, and these images have none")]
    found = []
    if why := unscored(train_y, test_y):
        found.append(Problem(f"{splits.name}: fine-tuning needs two classes or more: {why}"))
    if len(train_y) < config.batch_size:
        key, value = "evaluate.finetune.batch_size", str(len(train_y))
        told = f"{splits.name}: {len(train_y)} labelled training images are fewer than a batch of"
        found.append(
            Problem(f"{told} {config.batch_size}: lower {option(key, value)}", {key: value})
        )
    return found


def _protocol_name(config: ImageFineTuneSettings) -> str:
    """Return what is printed beside the numbers.

    >>> print(_protocol_name(ImageFineTuneSettings(mixup=0, erase=0, flip=True)))
    mae-finetune (layer decay 0.75, drop path 0.1, cutmix 1, smoothing 0.1, flip, no RandAugment)
    """
    names = ("layer_decay", "drop_path", "mixup", "cutmix", "smoothing", "erase")
    given = {name.replace("_", " "): getattr(config, name) for name in names}
    parts = [f"{name} {value:g}" for name, value in given.items() if value]
    if config.crop_scale is not None:
        parts.append("crop {:g} to {:g}".format(*config.crop_scale))
    parts += ["flip"] * config.flip
    parts += ["{} x {} pixels".format(*config.size)] if config.size else []
    return f"mae-finetune ({', '.join(parts)}, no RandAugment)"


def parameter_groups(tuned: Classifier, decay: float) -> list[ParamGroup]:
    """Return the parameters as groups of an optimizer, by layer; "scale" is that of their rate.

    Of an encoder of D blocks, the embedding, the class token and the positions are layer 0, block
    i = 1..D is layer i, and the classifier is layer D + 1, whose rate is whole. Layer l has the
    "scale" ``decay ** (D + 1 - l)``. An encoder that is no vision transformer is one block. What
    only predicts hidden positions is left out.

    Source: Bao et al., BEiT (arXiv 2106.08254); He et al., Masked Autoencoders Are Scalable Vision
    Learners (arXiv 2111.06377), appendix A.1.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    blocks = isinstance(tuned.model.encoder, (Transformer, ViTReader))
    last = (tuned.model.num_layers if blocks else 1) + 1
    for name, parameter in tuned.named_parameters():
        part = name.removeprefix("model.").split(".")
        if part[0] in ("embed", "class_token", "positions"):
            layer = 0
        elif part[0] == "encoder" and "by_patch" not in part:
            layer = _block(part) if blocks else 1
        elif name.startswith("model."):
            continue
        else:
            layer = last
        groups.setdefault((layer, decays(name, parameter)), []).append(parameter)
    return [
        {
            "params": parameters,
            "scale": decay ** (last - layer),
            "weight_decay": WEIGHT_DECAY if decaying else 0.0,
        }
        for (layer, decaying), parameters in groups.items()
    ]


def _block(name: Sequence[str]) -> int:
    """Return the number of a parameter's block, from 1; 0: it is of none, but what they read."""
    return int(name[name.index("blocks") + 1]) + 1 if "blocks" in name else 0


@contextmanager
def dropped_paths(
    blocks: Sequence[Block], rate: float, rng: np.random.Generator
) -> Iterator[None]:
    """Drop both residual branches of blocks, each sample for itself, for a while.

    A branch f(x) becomes b / (1 - p) f(x) with b ~ Bernoulli(1 - p) for each sample; p rises
    linearly from 0 at the first block to `rate` at the last.

    Source: Huang et al., Deep Networks with Stochastic Depth (arXiv 1603.09382).
    """

    def drop(p: float, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept = torch.from_numpy(rng.random(len(output)) >= p).to(output)
        return output * (kept / (1 - p)).view(-1, 1, 1)

    rates = np.linspace(0, rate, len(blocks)).tolist()
    hooks = [
        branch.register_forward_hook(partial(drop, each))
        for block, each in zip(blocks, rates, strict=True)
        for branch in (block.project, block.mlp)
        if each > 0
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
