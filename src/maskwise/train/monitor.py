"""What is measured of held-out samples while a model trains, with nothing hidden."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskwise.diagnostics import describe
from maskwise.errors import UserError
from maskwise.measure.features import frozen, random_subset
from maskwise.measure.representation import DiagnoseSettings
from maskwise.modality import MaskedModel, Source, Splits
from maskwise.train.checkpoint import State

if TYPE_CHECKING:
    from maskwise.train.batches import Batch

log = logging.getLogger("maskwise")
BATCH = 256
LR = 0.01


class OnlineProbe(nn.Module):
    """A linear probe that learns beside the model: BatchNorm without affine and a linear layer.

    It has an optimizer of its own, AdamW with a constant learning rate.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.weight = nn.Parameter(torch.zeros(num_classes, width))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=LR)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [N, C]."""
        return F.linear(self.norm(features), self.weight, self.bias)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Take a step from detached features [N, D]; negative labels, int64 [N], are left out."""
        known = labels >= 0
        if int(known.sum()) < 2:  # BatchNorm needs two
            return
        loss = F.cross_entropy(self.train()(features[known]), labels[known])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class Monitor:
    """Measures a model on held-out samples every so often; trains a probe if there are labels.

    Args:
        model: in training.
        train: what it learns from; its labels, if any, are the probe's.
        held: what it is measured on.
        config: how.

    Raises:
        UserError: fewer held-out samples than features, which have no rank to speak of.
    """

    def __init__(
        self, model: MaskedModel, train: Source, held: Source, config: DiagnoseSettings
    ) -> None:
        self.model, self.held, self.config = model, held, config
        assert config.every is not None
        self.every = config.every
        self.index = random_subset(len(held), config.num_samples, config.seed)
        width = self._features(held, self.index[:1]).shape[1]
        if len(self.index) < width:
            raise UserError(
                f"diagnose.every: {len(self.index)} held-out samples of {width} features have no"
                " rank to speak of: hold out more, raise diagnose.num_samples, or leave"
                " diagnose.every out"
            )
        self.labels, labels = _labels(train), _labels(held)
        self.held_labels = labels[self.index] if len(labels) else labels
        # One more than the largest label; 0 where none is known.
        num_classes, num_held = (
            int(each.max(initial=-1)) + 1 for each in (self.labels, self.held_labels)
        )
        self.probe = OnlineProbe(width, num_classes) if num_classes and num_held else None

    @property
    def state(self) -> State | None:
        """What a checkpoint keeps of it."""
        return None if self.probe is None else State(self.probe, self.probe.optimizer)

    def step(self, batch: "Batch") -> None:
        """Let the probe learn from a batch, if it is its turn."""
        if self.probe is not None and batch.step % self.config.probe_every == 0:
            # Of a stream only those of its first samples are known.
            ids, num = batch.ids.cpu().numpy(), len(self.labels)
            labels = np.where(ids < num, self.labels[np.minimum(ids, num - 1)], -1)
            self.probe.learn(
                torch.from_numpy(self._encode(batch.samples)), torch.from_numpy(labels)
            )

    def measure(self) -> dict[str, float]:
        """Return what is known of the held-out samples now, by name."""
        features = self._features(self.held, self.index)
        found = {}
        try:
            figures = describe(features)
            found = {name: float(figures[name]) for name in ("effective_rank", "energy")}
        except UserError as error:  # features that are all alike, which training may still cure
            log.warning("%s", error)
        if self.probe is not None:
            with torch.no_grad():
                logits = self.probe.eval()(torch.from_numpy(features))
            right = logits.argmax(dim=1).numpy() == self.held_labels
            found["probe_accuracy"] = float(right[self.held_labels >= 0].mean())
        return found

    def _features(self, source: Source, index: np.ndarray) -> np.ndarray:
        parts = np.array_split(index, max(1, -(-len(index) // BATCH)))
        return np.concatenate([self._encode(source.get(part)) for part in parts])

    def _encode(self, samples: Tensor) -> np.ndarray:
        with frozen(self.model) as device:
            found = self.model.encode(samples.to(device), self.config.pool, self.config.layer)
        return found.float().cpu().numpy()


def monitor_of(model: MaskedModel, splits: Splits, config: DiagnoseSettings) -> Monitor | None:
    """Return what measures a model while it trains, if anything is to be measured."""
    if config.every is None:
        return None
    return Monitor(model, splits.train, splits.test, config)


def _labels(source: Source) -> np.ndarray:
    """Return classes, int64 [N], negative where unknown; [0] of data without."""
    labels = getattr(source, "labels", None)
    return np.zeros(0, dtype=np.int64) if labels is None else labels
