"""Do networks follow the theory? Train a grid of mask ratios, widths and networks.

    python -m benchmarks.networks --images cifar10.npz --text corpus.txt --out results.jsonl

One JSON line for each finished run; runs that are in the file are skipped, so the grid can be
interrupted and continued. Within a seed everything is paired: training subset, initialisation,
order and (as far as the ratio allows) masks; the test samples and their masks are the same for
all runs.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.networks_data import Data, load
from benchmarks.networks_models import build
from maskwise.masks import draw

RATIOS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)
SEEDS = (0, 1, 2)
STEPS = 1024
BATCH = {"mlp": 64, "conv": 32, "transformer": 32}
TEST_SEED = 1000
# "one" hides one position of a sample.
TEST_RATIOS = {"one": 0.0, "0.25": 0.25, "0.5": 0.5, "0.75": 0.75}

WIDTHS = {
    ("images", "mlp"): (8, 64, 512, 4096),
    ("images", "conv"): (2, 8, 24, 64),
    ("images", "transformer"): (4, 8, 16, 32),
    ("text", "mlp"): (8, 64, 256, 1024),
    ("text", "conv"): (4, 16, 48, 96),
    ("text", "transformer"): (4, 12, 24, 48),
}
# All widths with many samples; with a quarter of them, static masks only, the two widest, which
# are then over-parameterised where the network allows.
NUM_TRAIN = {"images": (512, 128), "text": (1024, 256)}

# From trials at ratio 0.3, widest network, seed 0; last training loss with static masks:
# MLP 3e-4: 0.002, 1e-3: 0.000 (images), 0.02 (text); conv 3e-3: 0.08 (images), 0.7 (text);
# transformer 3e-3: 0.21, 1e-2: 0.14 (images), 3e-3: 2.19, 1e-2: 2.03 (text; fresh masks: equal).
LEARNING_RATES = {"mlp": 1e-3, "conv": 3e-3, "transformer": 5e-3}


@dataclass(frozen=True)
class Run:
    """What distinguishes a run."""

    data: str
    network: str
    masks: str
    width: int
    num_train: int
    ratio: float
    seed: int


def grid() -> list[Run]:
    """Return all runs, many samples first, then seed by seed, the widest networks first."""
    runs = [
        Run(data, network, masks, width, num_train, ratio, seed)
        for (data, network), widths in WIDTHS.items()
        for num_train, chosen, kinds in zip(
            NUM_TRAIN[data], (widths, widths[-2:]), (("static", "fresh"), ("static",)), strict=True
        )
        for masks, width, ratio, seed in itertools.product(kinds, chosen, RATIOS, SEEDS)
    ]
    return sorted(
        runs,
        key=lambda run: (
            NUM_TRAIN[run.data].index(run.num_train),
            run.seed,
            -WIDTHS[run.data, run.network].index(run.width),
        ),
    )


def loss(prediction: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean over hidden positions of squared error or, for symbols, cross-entropy."""
    if target.dtype == torch.int64:
        return functional.cross_entropy(prediction[hidden], target[hidden])
    return functional.mse_loss(prediction[hidden][:, 0], target[hidden])


@torch.no_grad()
def evaluate(model: torch.nn.Module, data: Data) -> dict[str, dict[str, float]]:
    """Return the test loss with one hidden position and at three ratios; for text, squared too.

    The squared error of the predicted probabilities is bounded, while the cross-entropy of a
    network that memorises, being confidently wrong, may be as large as it likes.
    """
    ids = torch.arange(len(data.test))
    inputs = data.encode(data.test)
    result: dict[str, dict[str, float]] = {"test": {}, "test_squared": {}}
    for name, ratio in TEST_RATIOS.items():
        # Ratio 1 / L hides exactly one position.
        law = f"fixed:{ratio or 1 / math.prod(data.grid)}"
        hidden = draw(law, data.grid, sample_ids=ids, seed=TEST_SEED).hidden
        chunks = (inputs * ~hidden[:, :, None]).split(250)  # fits the cache
        prediction = torch.cat([model(chunk) for chunk in chunks])
        result["test"][name] = loss(prediction, data.test, hidden).item()
        if data.channels > 1:
            gap = prediction[hidden].softmax(1) - inputs[hidden]
            result["test_squared"][name] = gap.square().sum(1).mean().item()
    return result


def train(run: Run, data: Data, steps: int) -> dict[str, Any]:
    """Train a network and return its row of the results."""
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(run.seed)
    targets, num = data.subset(run.num_train, generator), run.num_train
    inputs = data.encode(targets)
    model = build(run.network, data.grid, data.channels, run.width, generator)
    peak = LEARNING_RATES[run.network]
    optimizer = torch.optim.Adam(model.parameters(), lr=peak, fused=True)
    batch, step = BATCH[run.network], 0
    hidden, last_losses = torch.empty(0), list[float]()
    for epoch in range(steps * batch // num):
        if epoch == 0 or run.masks == "fresh":
            hidden = draw(
                f"fixed:{run.ratio}",
                data.grid,
                sample_ids=torch.arange(num),
                seed=run.seed,
                epoch=epoch,
            ).hidden
        last_losses.clear()
        for chosen in torch.randperm(num, generator=generator).view(-1, batch):
            warmup = min(1.0, (step + 1) / (0.05 * steps))
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = peak * warmup * cosine
            where = hidden[chosen]
            value = loss(model(inputs[chosen] * ~where[:, :, None]), targets[chosen], where)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            last_losses.append(value.item())
            step += 1
    row = asdict(run) | {
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": step,
        "train_loss": sum(last_losses) / len(last_losses),
        **evaluate(model, data),
    }
    return row | {"seconds": round(time.perf_counter() - start, 2)}


_DATA: dict[str, Data] = {}  # each worker's own copy


def _start(images: Path, text: Path) -> None:
    torch.set_num_threads(1)
    _DATA.update(load(images, text))


def _work(run: Run) -> dict[str, Any]:
    return train(run, _DATA[run.data], STEPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-10 as .npz: x, x_test")
    parser.add_argument("--text", type=Path, required=True, help="English text, .txt or .txt.xz")
    parser.add_argument("--out", type=Path, required=True, help="results, one JSON line a run")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if arguments.out.exists():
        rows = map(json.loads, arguments.out.read_text().splitlines())
        done = {Run(**{name: row[name] for name in Run.__dataclass_fields__}) for row in rows}
    runs = [run for run in grid() if run not in done]
    print(f"{len(done)} runs are there, {len(runs)} to do", flush=True)
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(arguments.workers, _start, (arguments.images, arguments.text)) as pool,
        arguments.out.open("a") as file,
    ):
        for row in pool.imap_unordered(_work, runs):
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
