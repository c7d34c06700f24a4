"""AdamW with weight-decay groups, and the learning rate of each step."""

import math

import torch
from torch import nn

from maskwise.layers.transformer import decays
from maskwise.train.config import TrainSettings


def make_optimizer(model: nn.Module, config: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW, fused; only weights decay (biases, norms, tokens and positions do not)."""
    weights = [p for name, p in model.named_parameters() if decays(name, p)]
    rest = [p for name, p in model.named_parameters() if not decays(name, p)]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def learning_rate(step: int, config: TrainSettings) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine to zero.

    >>> config = TrainSettings(steps=100, warmup=0.1, lr=1.0)
    >>> learning_rate(0, config), learning_rate(9, config), round(learning_rate(55, config), 2)
    (0.1, 1.0, 0.5)
    """
    warmup = round(config.steps * config.warmup)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    share = (step - warmup) / max(config.steps - warmup, 1)
    return config.lr * (1 + math.cos(math.pi * share)) / 2
