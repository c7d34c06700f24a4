"""The recipes of U-MAE: what they share with MAE, and in what the two kinds differ."""

import numpy as np
import pytest
import torch
from PIL import Image

import maskwise as mw
from maskwise.images.arrange import class_names
from maskwise.images.data import load
from maskwise.modalities import build, find, recipes
from maskwise.settings import differences, override, to_dict

DATA = ("cifar10", "imagenet100", "imagenet1k")


@pytest.mark.parametrize("name", DATA)
def test_the_kinds_differ_in_the_scale_only(name):
    ours, paper = (to_dict(recipes()[f"{name}-umae{kind}"]()) for kind in ("", "-paper"))
    assert differences(ours, paper) == ["regularise.scale: exact -> public"]
    assert ours["law"] == "fixed:0.75"
    assert ours["regularise"]["uniformity"] == "0.01"
    assert ours["regularise"]["pool"] == ours["diagnose"]["pool"] == "class"


@pytest.mark.parametrize(("name", "num"), [("imagenet100", 126_689), ("imagenet1k", 1_281_167)])
def test_imagenet_has_the_settings_of_mae(name, num):
    config = recipes()[f"{name}-umae"]()
    assert config.train.steps == 200 * (num // 1024)
    assert config.train.lr == pytest.approx(1.5e-4 * 1024 / 256)
    assert (config.train.betas, config.train.weight_decay) == ((0.9, 0.95), 0.05)
    assert config.train.warmup * 200 == pytest.approx(40)
    assert config.data.target == "normalised"


def pictures(root, names):
    """Two pictures of each class in train/ and one in val/."""
    rng = np.random.default_rng(0)
    for split, num in (("train", 2), ("val", 1)):
        for name in names:
            (root / split / name).mkdir(parents=True)
            for number in range(num):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")


def test_a_folder_of_imagenet_has_more_classes_than_asked_for(tmp_path):
    wanted = class_names(("imagenet100",))
    pictures(tmp_path, [*wanted, "n00000001", "n00000002"])
    config = recipes()["imagenet100-umae"]()
    config = override(config, {"data.source": str(tmp_path), "data.size": [32, 32]})
    splits = load(config.data)
    assert (len(splits.train), len(splits.test)) == (200, 100)
    assert splits.train.classes == tuple(sorted(wanted))
    modality, described = find("images").describe(splits, config)
    with torch.device("meta"):
        model = build(modality, described.model, seed=0)
    num = sum(parameter.numel() for parameter in model.encoder.parameters())
    assert num == pytest.approx(85e6, rel=0.01)  # ViT-B


def test_a_recipe_trains_on_small_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "tiny.npz", x=images, y=np.arange(40) % 2)
    run = mw.pretrain(
        "cifar10-umae-paper",
        out=tmp_path / "run",
        data={"source": str(tmp_path / "tiny.npz"), "holdout": 0.5},
        model={"width": 16, "depth": 2, "heads": 2, "decoder_width": 8, "decoder_depth": 1},
        train={"steps": 2, "batch_size": 8},
        diagnose={"every": 2},
        evaluate={"protocols": ["knn"], "baselines": False, "visible": []},
    )
    first, last = run.metrics[0], run.metrics[-1]
    assert last["step"] == 2
    # Of 8 samples each counts once against itself.
    public = (first["cosine2"] * 7 + 1) / 8
    assert first["uniformity"] == pytest.approx(public, rel=1e-5)
    assert {"effective_rank", "energy", "probe_accuracy"} <= set(last)
