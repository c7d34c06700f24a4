"""What each of two processes that train together ends with: run by test_regularised.py."""

import importlib
import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed as dist
from torch import multiprocessing

from maskwise.images.data import ImageDataSettings, load
from maskwise.images.images import describe
from maskwise.modalities import build
from maskwise.settings import override
from maskwise.train.batches import Batches
from maskwise.train.config import connect
from maskwise.train.loop import train
from maskwise.train.monitor import Monitor
from maskwise.train.stream import StreamBatches, StreamSource
from tests.train.conftest import TINY

# Ratios of their own, so that samples weigh differently.
CHANGES = {
    "train.steps": 3,
    "train.lr": 1e-3,
    "train.scope": "sample",
    "train.reduction": "token_mean",
    "model.class_token": True,
    "regularise.uniformity": "2",
    "regularise.pool": "class",
}
RUNS = {
    "plain": {"regularise.uniformity": "0"},
    "stream": {"regularise.uniformity": "0"},
    "exact": {},
    "public": {"regularise.scale": "public"},
    "bf16": {"efficiency.precision": "bf16"},
    "measured": {"diagnose.every": 2, "diagnose.probe_every": 1},
}


def steps(name, folder, num_ranks=1):
    """Train; return the weights."""
    config = override(TINY, CHANGES | RUNS[name] | {"efficiency.devices": num_ranks})
    if num_ranks > 1:
        config = override(config, {"efficiency.strategy": "ddp"})
    digits = load(ImageDataSettings(source="digits"))
    modality = describe(digits.train, config.data.patch, config.data.target)
    model = build(modality, config.model, seed=config.seed)
    fabric = connect(config.efficiency)
    given = {"batch_size": 16, "seed": 0, "rank": fabric.global_rank, "ranks": num_ranks}
    batches = Batches(digits.train, **given)
    if name == "stream":
        numbers, read = partial(iter, range(len(digits.train))), digits.train.get
        source = StreamSource(numbers, lambda some: (read(some), None), buffer=50)
        batches = StreamBatches(source, **given)
    fabric.launch()
    monitor = None
    if config.diagnose.every is not None:
        monitor = Monitor(model, digits.train, digits.test, config.diagnose)
    folder.mkdir(parents=True, exist_ok=True)
    trained, _ = train(fabric, model, batches, config, folder, monitor=monitor)
    return trained.state_dict()


def main(rank, folder):
    """Be one of two processes, as `torchrun` would have started it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "none", "MASTER_PORT": "0"}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    for name in RUNS:
        weights = steps(name, Path(folder) / name, num_ranks=2)
        save_file(weights, f"{folder}/{name}/weights-{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    # What takes seconds to import is imported once, before the processes part.
    importlib.import_module("torch._dynamo")
    torch.set_num_threads(1)
    multiprocessing.start_processes(main, args=sys.argv[1:], nprocs=2, start_method="fork")
