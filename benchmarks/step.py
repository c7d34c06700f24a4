"""Time training steps side by side: maskwise, the textbook step, and what a random ratio costs.

    python -m benchmarks.step [--rounds 30] [--device cpu|cuda]

Every candidate does one step in turn, for many rounds, so that a machine whose speed drifts slows
all of them alike; a ratio is the median over rounds of the paired ratio of times. Candidates do
the same work on the same batch: ViT-Tiny (192 x 12, decoder 128 x 2, patch 4 on 32 x 32), batch
64, forward, backward and AdamW. maskwise's step is the one of its training loop: it also draws
its masks, clips the gradient and checks that the loss is finite.
"""

import argparse
import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.textbook import Layer, SdpaLayer, TextbookMAE
from maskwise import laws, masks
from maskwise.images.data import ImageDataSettings
from maskwise.images.images import Images
from maskwise.images.recipes import ImageRunSettings
from maskwise.modalities import build
from maskwise.objectives import RegulariseSettings
from maskwise.patches.model import PatchModelSettings
from maskwise.train.batches import Batch
from maskwise.train.config import EfficiencySettings, TrainSettings
from maskwise.train.loop import Learner, backward, plan_of, prepare, setup

BATCH, LENGTH = 64, 64
Step = Callable[[int], float | None]


def maskwise_step(
    law: str, precision: str, device: str, regularise: RegulariseSettings | None = None
) -> Callable[[int], float]:
    from lightning_fabric import Fabric

    config = ImageRunSettings(
        data=ImageDataSettings(patch=(4, 4)),
        model=PatchModelSettings(),
        law=law,
        regularise=regularise or RegulariseSettings(),
        train=TrainSettings(steps=1000, batch_size=BATCH),
        efficiency=EfficiencySettings(precision="bf16" if precision == "bf16" else "fp32"),
    )
    images = Images(
        patch=(4, 4), channels=3, height=32, width=32, mean=(127.5,) * 3, std=(64.0,) * 3
    )
    fabric = Fabric(
        accelerator=device,
        devices=1,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    raw = build(images, config.model, seed=0)
    model, optimizer = setup(fabric, Learner(raw), config.train)
    plan = plan_of(config)
    samples = _images()

    def step(number: int) -> float:
        ids = torch.arange(BATCH)
        batch = Batch(number, 0, ids, ids, samples, None)
        part = prepare(batch, raw, plan, fabric.device)
        loss, _ = backward(fabric, model, raw, part, plan)
        fabric.clip_gradients(model, optimizer, max_norm=1.0, error_if_nonfinite=False)
        assert math.isfinite(float(loss))
        optimizer.step()
        optimizer.zero_grad()
        return float(part.mask.ratio[0])

    return step


def textbook_step(precision: str, device: str, layer: type[Layer], fused: bool | None) -> Step:
    model = TextbookMAE(layer=layer).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=fused
    )
    images = (_images().float() / 255 - 0.5) / 0.25

    def step(number: int) -> float:
        cast = torch.autocast(device, torch.bfloat16) if precision == "bf16" else None
        with cast or contextlib.nullcontext():
            loss = model(images.to(device), 0.75)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)


def flops(ratio: float) -> float:
    """Return the multiply-adds of a forward pass of one sample at a ratio (to scale costs by)."""
    hidden = int(laws.num_hidden(laws.Fixed(ratio), 0.5, LENGTH))
    visible = LENGTH - hidden

    def block(num: int, width: int, queries: int) -> float:
        linear = width * width * (2 * num + queries + queries + 8 * queries)
        return linear + 2 * num * queries * width

    encoder = 48 * 192 * LENGTH + 12 * block(visible + 1, 192, visible + 1)
    total = visible + 1 + hidden
    decoder = block(total, 128, total) + block(total, 128, hidden)
    return encoder + 192 * 128 * (visible + 1) + decoder + 128 * 48 * hidden


def measure(
    steps: dict[str, Step],
    rounds: int,
    warmup: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Return the seconds of each candidate in each round, after a warm-up."""
    synchronise = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-warmup, rounds):
        for name, step in steps.items():
            synchronise()
            began = clock()
            step(number + warmup)
            synchronise()
            if number >= 0:
                times[name].append(clock() - began)
    return {name: np.array(values) for name, values in times.items()}


def random_ratio_cost(rounds: int, device: str) -> tuple[float, float]:
    """Return the cost of U(.6,.9) over that of fixed .75: measured, and by operations.

    The expectation is over the very ratios that were drawn, so their luck does not matter.
    """
    random = maskwise_step("uniform:0.6,0.9", "fp32", device)
    fixed = maskwise_step("fixed:0.75", "fp32", device)
    ratios: list[float] = []
    times = measure({"random": lambda n: ratios.append(random(n)), "fixed": fixed}, rounds)
    # Each round against its own neighbour, so that a slow moment of the machine cancels; the
    # median is over what remains after dividing by the expected cost of the ratio of that round.
    expected = np.array([flops(ratio) for ratio in ratios[-rounds:]]) / flops(0.75)
    excess = np.median(times["random"] / times["fixed"] / expected)
    return float(excess * expected.mean()), float(expected.mean())


def mask_time(rounds: int, device: str) -> float:
    """Return the median seconds of drawing a batch's masks with their index tensors."""
    ids = torch.arange(BATCH, device=device)
    seconds = []
    for number in range(rounds):
        began = time.perf_counter()
        mask = masks.draw("uniform:0.6,0.9", (8, 8), sample_ids=ids, seed=0, step=number)
        _ = mask.visible_idx, mask.hidden_idx
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    arguments = parser.parse_args()
    device, rounds = arguments.device, arguments.rounds
    steps = {
        "textbook fp32": textbook_step("fp32", device, Layer, None),
        "maskwise fp32": maskwise_step("fixed:0.75", "fp32", device),
        "textbook bf16": textbook_step("bf16", device, Layer, None),
        "maskwise bf16": maskwise_step("fixed:0.75", "bf16", device),
        "textbook bf16, fused AdamW": textbook_step("bf16", device, Layer, True),
        "textbook bf16, sdpa": textbook_step("bf16", device, SdpaLayer, None),
    }
    times = measure(steps, rounds)
    figures = {f"{name}, ms": float(np.median(t)) * 1e3 for name, t in times.items()}
    for name, slow, fast in (
        ("fp32: textbook / maskwise", "textbook fp32", "maskwise fp32"),
        ("maskwise: fp32 / bf16", "maskwise fp32", "maskwise bf16"),
        ("bf16: textbook / maskwise", "textbook bf16", "maskwise bf16"),
        ("bf16: textbook, fused / maskwise", "textbook bf16, fused AdamW", "maskwise bf16"),
        ("bf16: textbook, sdpa / maskwise", "textbook bf16, sdpa", "maskwise bf16"),
    ):
        figures[name] = float(np.median(times[slow] / times[fast]))
    measured, expected = random_ratio_cost(2 * rounds, device)
    figures["U(.6,.9) / fixed .75, measured"] = measured
    figures["U(.6,.9) / fixed .75, by FLOPs"] = expected
    figures["random ratio, measured / expected"] = measured / expected
    figures["masks, share of an fp32 step"] = mask_time(100, device) / float(
        np.median(times["maskwise fp32"])
    )
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {device}, {rounds} rounds")
    for name, value in figures.items():
        print(f"{name:<48} {value:10.4f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
