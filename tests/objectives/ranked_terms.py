"""What each of several processes that train together gets: run by test_across_ranks.py."""

import importlib
import sys
from datetime import timedelta

import numpy as np
import torch
from torch import distributed as dist
from torch import multiprocessing, nn

from maskwise.errors import UserError
from maskwise.objectives import regularisers as terms

NUM_ROWS = 16
TERMS = {
    "uniformity": lambda x, y, net: terms.uniformity(y),
    "public": lambda x, y, net: terms.uniformity(y, scale="public"),
    "coding_rate": lambda x, y, net: terms.coding_rate(y, mu=2.0),
    "variance": lambda x, y, net: terms.variance(y),
    "covariance": lambda x, y, net: terms.covariance(y),
    "koleo": lambda x, y, net: terms.koleo(y),
    "local_dimension": lambda x, y, net: terms.local_dimension(y, neighbours=5),
    "magma": lambda x, y, net: terms.magma(x, y),
    "orthogonality": lambda x, y, net: terms.orthogonality(net),
}


class Network(nn.Module):
    """Two layers and the features of both."""

    def __init__(self, dtype):
        super().__init__()
        self.first = nn.Linear(6, 4, bias=False, dtype=dtype)
        self.second = nn.Linear(4, 5, bias=False, dtype=dtype)
        with torch.no_grad():
            self.first.weight.copy_(torch.linspace(-1, 1, 24).sin().mul(0.9).view(4, 6))
            self.second.weight.copy_(torch.linspace(2, -3, 20).cos().mul(0.7).view(5, 4))

    def forward(self, rows):
        x = self.first(rows)
        return x, self.second(x.tanh()) + 0.2


def inputs(dtype):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(NUM_ROWS, 6, generator=generator, dtype=torch.float64).to(dtype)


def results(wrap, rows):
    """The value and the gradient of each term on some rows."""
    found = {}
    for name, term in TERMS.items():
        network = Network(rows.dtype)
        wrapped = wrap(network)
        value = term(*wrapped(rows), network)
        value.backward()
        found[f"{name}.value"] = value.detach().numpy()
        gradients = [weight.grad for weight in network.parameters()]
        found[f"{name}.gradient"] = torch.cat(
            [grad.flatten() for grad in gradients if grad is not None]
        ).numpy()
    return found


def main(rank, folder):
    for num_ranks in (4, 2):
        if rank >= num_ranks:
            return
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store-{num_ranks}",
            rank=rank,
            world_size=num_ranks,
            timeout=timedelta(seconds=60),
        )
        for dtype in (torch.float32, torch.float64):
            mine = inputs(dtype).chunk(num_ranks)[rank]
            found = results(nn.parallel.DistributedDataParallel, mine)
            found["gathered"] = terms._gathered(mine).numpy()
            found["total"] = terms._total(mine.sum(dim=0)).numpy()
            try:
                # Every rank but the first has a row of zeros.
                terms.uniformity(mine.where(mine != mine[1], torch.zeros(())) if rank else mine)
            except UserError as error:
                found["refused"] = np.array(str(error))
            np.savez(f"{folder}/{num_ranks}-{rank}-{str(dtype)[6:]}.npz", **found)
        dist.destroy_process_group()


if __name__ == "__main__":
    # What takes seconds to import is imported once, before the processes part.
    importlib.import_module("torch._dynamo")
    torch.set_num_threads(1)
    multiprocessing.start_processes(main, args=sys.argv[1:], nprocs=4, start_method="fork")
