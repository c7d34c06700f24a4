"""What does `attach` cost? Steps of transformers' ViTMAE with a law and without, taken in turns.

    python -m benchmarks.attach_step [--width 192] [--depth 12] [--size 224] [--rounds 12]

Each round times a step of each way, in a changing order, at the same ratio: the model's own .75,
the law `fixed:0.75`, and the same with masks of ours. Prints the median, over rounds, of the ratio
of their processor times to the first, with a bootstrap interval of 95 %, and the time of the hooks
alone.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import maskwise as mw
from maskwise.attaching.attached import Attached

LAW = "fixed:0.75"
WAYS = ("own", "law", "law and pattern")


def step(model: ViTMAEForPreTraining, x: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    """Return the seconds of processor time of an update."""
    began = time.process_time()
    model(x).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - began


def _hooks(model: torch.nn.Module) -> tuple[dict[int, Any], dict[int, Any]]:
    return model._forward_pre_hooks, model._forward_hooks


def hooks(attached: Attached, x: torch.Tensor, num: int = 200) -> float:
    """Return the seconds that the hooks of a step take."""
    before, after = (next(iter(each.values())) for each in _hooks(attached.model))
    began = time.process_time()
    for _ in range(num):
        before(attached.model, (x,), {})
        after(attached.model, (x,), None)
    return (time.process_time() - began) / num


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"width": 192, "depth": 12, "size": 224, "batch": 8, "rounds": 12}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=arguments.width,
            num_hidden_layers=arguments.depth,
            num_attention_heads=arguments.width // 64,
            intermediate_size=4 * arguments.width,
            image_size=arguments.size,
            patch_size=16,
            decoder_hidden_size=arguments.width,
            decoder_num_hidden_layers=2,
            decoder_num_attention_heads=arguments.width // 64,
            decoder_intermediate_size=4 * arguments.width,
        )
    )
    mw.attach(model, LAW, mend=True).detach()
    x = torch.zeros(arguments.batch, 3, arguments.size, arguments.size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    attach: dict[str, Callable[[], Attached]] = {
        "law": lambda: mw.attach(model, LAW),
        "law and pattern": lambda: mw.attach(model, LAW, pattern="scattered"),
    }
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(arguments.rounds + 1):
        for way in np.roll(WAYS, turn).tolist():
            attached = attach[way]() if way in attach else None
            seconds = step(model, x, optimizer)
            if turn:  # caches fill in the first
                found[way].append(seconds)
            if attached is not None:
                attached.detach()
    own = np.array(found["own"])
    print(f"a step without: {1000 * np.median(own):.0f} ms")
    for way, make in attach.items():
        ratios = np.array(found[way]) / own
        drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
        with make() as attached:
            alone = hooks(attached, x)
        share = 100 * alone / np.median(own)
        print(
            f"{way}: ratio {np.median(ratios):.4f} [{low:.4f}, {high:.4f}];"
            f" hooks {1e6 * alone:.0f} µs, {share:.3f} % of a step"
        )


if __name__ == "__main__":
    main()
