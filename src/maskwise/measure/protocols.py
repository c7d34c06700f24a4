"""Probes: how the classes of test samples are told from frozen features of training samples."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskwise.measure.features import random_subset
from maskwise.ties import nearest

# Strengths to choose from, for features that are standardised each by itself: at C=1 one-hot
# bases, the strongest baseline of aligned sequences, fit noise: on the splice sites of UCI 92 %
# are right, and 96 % at C=0.01.
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
ONE_SCALE_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
NUM_CHOOSE = 1000  # samples on which C is chosen for features of one scale, at most
NUM_NEAREST = 15
EPOCHS, WARMUP, RATE, MOMENTUM, TRUST = 90, 10, 6.4, 0.9, 0.001

Name = Literal["logistic", "mae", "knn"]
ScoringName = Literal["logistic", "knn"]
Found = tuple[np.ndarray, bool]
"""what a probe says of test samples, and whether it converged"""


class Probe(NamedTuple):
    """A title for the table, and a function.

    It takes training features [N, D], their classes [N], test features [M, D], groups of training
    samples that belong together [N], and a seed. It returns the classes of test samples [M] or
    scores of all classes [M, K], and whether it converged.
    """

    title: str
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], Found]


def logistic_scores(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    c: float = 1.0,
    *,
    standardise: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> Found:
    """Return the probabilities of classes, [M, K], by L2-regularised logistic regression (L-BFGS).

    Classes that are not trained on have 0. The samples count `c` beside the penalty; `tol` is how
    steep the loss may still be. Features are standardised by the training samples.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=c, max_iter=max_iter, tol=tol)
    if standardise:
        model = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train_x, train_y)
    converged = not any(issubclass(each.category, ConvergenceWarning) for each in caught)
    return _probabilities(model, train_y, test_x), converged


def _probabilities(model: Any, train_y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    scores = np.zeros((len(test_x), int(train_y.max()) + 1))
    scores[:, model.classes_] = model.predict_proba(test_x)
    return scores


def of_all_classes(found: np.ndarray, num_classes: int) -> np.ndarray:
    """Return scores [M, K], where classes that a probe knows nothing of have 0."""
    scores = np.zeros((len(found), num_classes))
    if found.ndim == 1:
        scores[np.arange(len(found)), found] = 1
    else:
        scores[:, : found.shape[1]] = found
    return scores


def best_strength(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
    **how: Any,
) -> float:
    """Return which of `strengths` predicts a held-out fifth of the groups best (log loss).

    The first of equals, to the six decimals that L-BFGS gives; where none can be held out, the
    last. `how` goes to `logistic_scores`.
    """
    _, groups = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    held = order[groups] < len(order) // 5
    if not held.any() or len(np.unique(y[~held])) < 2:
        return strengths[-1]
    losses = []
    for c in strengths:
        found, _ = logistic_scores(x[~held], y[~held], x[held], c, **how)
        scores = of_all_classes(found, y.max() + 1)
        losses.append(-np.log(scores[np.arange(len(scores)), y[held]].clip(1e-9)).mean())
    return strengths[int(np.argmin(np.round(losses, 6)))]


def one_scale_scores(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, seed: int
) -> Found:
    """Return the probabilities of classes, [M, K], at a chosen strength; sizes are kept.

    Standardised each by itself, principal components lose what their sizes say (on 4,000 blood
    cells with 5 labels a type macro-F1 .65, and .82 as they are).
    """
    mean = train_x.mean(axis=0)
    scale = np.sqrt(np.square(train_x - mean).mean()) or 1.0
    train, test = rotated((train_x - mean) / scale, (test_x - mean) / scale)
    some = random_subset(len(train_y), NUM_CHOOSE, seed)
    part, _ = rotated(train[some], test[:0])
    choice = part, train_y[some], np.arange(len(some)), seed, ONE_SCALE_STRENGTHS
    # Codes of a few large directions converge slowly, and to choose they need not.
    c = best_strength(*choice, standardise=False, tol=1e-3)
    return logistic_scores(train, train_y, test, c, standardise=False)


def rotated(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features in a basis of the training samples, where those are fewer than features.

    The weights of a regression whose penalty is their square lie in it: nothing else changes.
    """
    if train.shape[1] <= len(train):
        return train, test
    basis = np.linalg.qr(train.T)[0]
    return train @ basis, test @ basis


def knn_votes(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> np.ndarray:
    """Return the votes of the `k` nearest training samples in cosine similarity, float32 [M, K].

    A neighbour n of a sample x votes for its class with weight ``exp(cos(x, n) / temperature)``.
    Of equally near ones the first are taken; `chunk` test samples are compared at once.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination
    (arXiv 1805.01978), section 3.4.
    """
    train = F.normalize(torch.from_numpy(train_x).float(), dim=1)
    labels = torch.from_numpy(train_y).long()
    num_classes = int(labels.max()) + 1
    found = []
    for part in torch.from_numpy(test_x).float().split(chunk):
        similarity = F.normalize(part, dim=1) @ train.T
        index = similarity.topk(min(k, len(train)), dim=1).indices
        index = torch.from_numpy(nearest(-similarity.numpy(), index.numpy(), scale=1.0))
        votes = torch.zeros(len(part), num_classes)
        weights = (similarity.gather(1, index) / temperature).exp()
        votes.scatter_add_(1, labels[index], weights)
        found.append(votes)
    return torch.cat(found).numpy()


def nearest_scores(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, k: int
) -> np.ndarray:
    """Return shares of the votes of the `k` nearest samples, each one over its distance."""
    from sklearn.neighbors import KNeighborsClassifier

    k = min(k, len(train_y))
    model = KNeighborsClassifier(k, weights="distance", algorithm="brute").fit(train_x, train_y)
    return _probabilities(model, train_y, test_x)


def mae_batchnorm(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, seed: int
) -> np.ndarray:
    """Predict classes [M] by MAE's linear probe: BatchNorm without affine, linear layer, LARS.

    Two training samples at least. No weight decay; linear warm-up and then half a cosine to 0.
    `seed` is of the first weights and of the order of samples. Deviates from the paper in two
    ways: features are fixed, so there is no augmentation, and the batch is smaller on small data.

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377),
    appendix A.1.
    """
    x, y = torch.from_numpy(train_x).float(), torch.from_numpy(train_y).long()
    # MAE's batch where the data are large, else 8 steps an epoch of at least 64 samples (below 512
    # samples an epoch repeats them). MAE's rate of .1 x 16384 / 256 is kept: LARS moves a weight
    # by rate x trust whatever the gradient, so a rate scaled by a small batch leaves the head near
    # its start (pixels of digits: 34 % right where logistic regression has 93 %).
    batch = min(16384, max(len(x) // 8, 64), len(x))
    num_steps = max(len(x) // batch, 8)
    repeats = math.ceil(num_steps * batch / len(x))
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(int(y.max()) + 1, x.shape[1], generator=generator) * 0.01
    parameters = [weight.requires_grad_(), torch.zeros(len(weight), requires_grad=True)]
    velocities = [torch.zeros_like(each) for each in parameters]
    mean, variance = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator).repeat(repeats)
        for step in range(num_steps):
            index = order[step * batch : (step + 1) * batch]
            inputs = F.batch_norm(x[index], mean, variance, training=True, eps=1e-6)
            loss = F.cross_entropy(F.linear(inputs, *parameters), y[index])
            rate = RATE * _warmup_cosine(epoch + step / num_steps)
            lars_step(parameters, torch.autograd.grad(loss, parameters), velocities, rate)
    with torch.no_grad():
        inputs = F.batch_norm(torch.from_numpy(test_x).float(), mean, variance, eps=1e-6)
        return F.linear(inputs, *parameters).argmax(1).numpy()


@torch.no_grad()
def lars_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    velocities: Sequence[Tensor],
    lr: float,
) -> None:
    """Take one LARS step in place, without weight decay, of momentum m = .9 and trust t = .001.

    ``v <- m v + t |p| / |g| g`` and ``p <- p - lr v``; biases (one dimension), and
    tensors whose norm or gradient norm is 0, take the gradient unscaled.

    Source: You et al., Large Batch Training of Convolutional Networks (arXiv 1708.03888).
    """
    for parameter, gradient, velocity in zip(parameters, gradients, velocities, strict=True):
        size, slope = parameter.norm(), gradient.norm()
        scaled = parameter.ndim > 1 and size > 0 and slope > 0
        velocity.mul_(MOMENTUM).add_(gradient * (TRUST * size / slope) if scaled else gradient)
        parameter.sub_(velocity, alpha=lr)


def _warmup_cosine(epoch: float) -> float:
    if epoch < WARMUP:
        return epoch / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (epoch - WARMUP) / (EPOCHS - WARMUP)))


_KNN = "knn (k=20, T=0.07)"
# Where the best class is all that counts, and the strength is the same for everybody.
PROBES: dict[str, Probe] = {
    "logistic": Probe(
        "logistic-lbfgs (C=1, standardised on train)",
        lambda x, y, test, groups, seed: logistic_scores(x, y, test),
    ),
    "mae": Probe(
        "mae-batchnorm-lars (90 epochs, lr 6.4, no augmentation)",
        lambda x, y, test, groups, seed: (mae_batchnorm(x, y, test, seed), True),
    ),
    "knn": Probe(_KNN, lambda x, y, test, groups, seed: (knn_votes(x, y, test), True)),
}
# Where samples belong together, and scores of all classes are compared.
CHOSEN: dict[str, Probe] = {
    "logistic": Probe(
        "logistic-lbfgs (C chosen on train, standardised on train)",
        lambda x, y, test, groups, seed: logistic_scores(
            x, y, test, best_strength(x, y, groups, seed)
        ),
    ),
    "knn": Probe(_KNN, lambda x, y, test, groups, seed: (_shares(knn_votes(x, y, test)), True)),
}


def one_scale(few: int = 0) -> dict[str, Probe]:
    """Return probes that keep what the sizes of features say; `few` labels a class, 0 = many."""
    k = min(NUM_NEAREST, few or NUM_NEAREST)
    return {
        "logistic": Probe(
            "logistic-lbfgs (C chosen on train, one scale for all features)",
            lambda x, y, test, groups, seed: one_scale_scores(x, y, test, seed),
        ),
        "knn": Probe(
            "knn (k=15, of few labels their number a class; Euclidean, by distance)",
            lambda x, y, test, groups, seed: (nearest_scores(x, y, test, k), True),
        ),
    }


def _shares(votes: np.ndarray) -> np.ndarray:
    return votes / votes.sum(axis=1, keepdims=True)
