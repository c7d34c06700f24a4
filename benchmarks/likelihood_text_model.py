"""A small masked language model over letters, for `benchmarks.likelihood_text`."""

import torch
from torch import Tensor, nn

from benchmarks.networks_data import SYMBOLS
from maskwise import masks
from maskwise.layers.transformer import Transformer
from maskwise.likelihood import loss
from maskwise.rng import shuffled
from maskwise.train.config import TrainSettings
from maskwise.train.loop import learning_rate, make_optimizer


class Letters(nn.Module):
    """A transformer that reads visible letters and a mask token, and predicts all letters."""

    def __init__(self, window: int, width: int = 96, depth: int = 3) -> None:
        super().__init__()
        self.window = window
        self.embed = nn.Embedding(len(SYMBOLS) + 1, width)
        self.positions = nn.Parameter(nn.init.normal_(torch.empty(1, window, width), std=0.02))
        self.encoder = Transformer(width, depth, 3, 4.0, "plain")
        self.head = nn.Linear(width, len(SYMBOLS))
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log-probabilities of each letter, [B, D, V]."""
        tokens = self.embed(torch.where(hidden, len(SYMBOLS), x)) + self.positions
        return self.head(self.encoder(tokens)).log_softmax(dim=-1)

    def conditional_log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_t | x_R), [B, D]."""
        return self(x, hidden).gather(2, x[..., None])[..., 0]


def build(window: int, seed: int) -> Letters:
    """Return an untrained model."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Letters(window).eval()


def train(model: Letters, pool: Tensor, law: str, steps: int, seed: int) -> None:
    """Train with a ratio for each sample, drawn from the law and spread over the batch."""
    settings = TrainSettings(steps=steps, batch_size=64, lr=2e-3)
    optimizer = make_optimizer(model, settings)
    size = settings.batch_size
    per_epoch = len(pool) // size
    model.train()
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            order = shuffled(len(pool), seed=seed, epoch=epoch)
        ids = order[place * size : (place + 1) * size]
        mask = masks.draw(
            law,
            (model.window,),
            sample_ids=ids,
            seed=seed,
            epoch=epoch,
            progress=step / steps,
            scope="sample",
            sampling="stratified",
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimizer.zero_grad()
        loss(model, pool[ids], mask).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
