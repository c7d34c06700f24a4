"""Linear probes on frozen features: logistic regression, and MAE's BatchNorm and LARS."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LOGISTIC = "logistic-lbfgs (C=1, standardised on train)"
# Strengths to choose from, for features that are standardised each by itself: at C=1 one-hot
# bases, the strongest baseline of aligned sequences, fit noise: on the splice sites of UCI 92 %
# are right, and 96 % at C=0.01.
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
MAE = "mae-batchnorm-lars (90 epochs, lr 6.4, no augmentation)"


def logistic(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, max_iter: int = 1000
) -> tuple[np.ndarray, bool]:
    """Predict classes by L2-regularised logistic regression (C = 1, L-BFGS).

    Features are standardised with the mean and deviation of the training samples.

    Args:
        train_x: training features, [N, D].
        train_y: training classes, at least two of them, [N].
        test_x: test features, [M, D].
        max_iter: L-BFGS iterations at most.

    Returns:
        Predicted classes [M], and whether L-BFGS converged.

    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> logistic(x, np.array([0, 0, 1, 1]), np.array([[-3.0], [3.0]]))
    (array([0, 1]), True)
    """
    model, converged = _fitted(train_x, train_y, 1.0, max_iter=max_iter)
    return model.predict(test_x), converged


def logistic_scores(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    c: float = 1.0,
    *,
    standardise: bool = True,
    tol: float = 1e-4,
) -> tuple[np.ndarray, bool]:
    """Return the probabilities of all classes, [M, K], where `logistic` returns the likeliest.

    K is one more than the highest training class; one without training samples has 0. `c` is how
    much the samples count beside the penalty, `standardise` whether features are, `tol` how steep
    the loss may still be.

    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> logistic_scores(x, np.array([0, 0, 1, 1]), np.array([[0.0]]))[0].round(3)
    array([[0.5, 0.5]])
    """
    model, converged = _fitted(train_x, train_y, c, standardise, tol=tol)
    scores = np.zeros((len(test_x), int(train_y.max()) + 1))
    scores[:, model.classes_] = model.predict_proba(test_x)
    return scores, converged


def best_strength(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
    **options: Any,
) -> float:
    """Return which of `strengths` predicts a held-out fifth of the groups best (log loss).

    The first of equals; where no fifth can be held out, the last.

    Args:
        x: training features, [N, D].
        y: training classes, [N].
        groups: which samples belong together, [N].
        seed: of the choice of groups.
        strengths: values of C, rising.
        **options: of `logistic_scores`.
    """
    _, groups = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    held = order[groups] < len(order) // 5
    if not held.any() or len(np.unique(y[~held])) < 2:
        return strengths[-1]
    losses = []
    for c in strengths:
        scores = np.zeros((held.sum(), y.max() + 1))
        found, _ = logistic_scores(x[~held], y[~held], x[held], c, **options)
        scores[:, : found.shape[1]] = found
        losses.append(-np.log(scores[np.arange(len(scores)), y[held]].clip(1e-9)).mean())
    return strengths[int(np.argmin(losses))]


def _fitted(
    x: np.ndarray,
    y: np.ndarray,
    c: float,
    standardise: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
) -> tuple[Any, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=c, max_iter=max_iter, tol=tol)
    if standardise:
        model = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(x, y)
    return model, not any(issubclass(each.category, ConvergenceWarning) for each in caught)


def mae_batchnorm(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    seed: int,
    epochs: int = 90,
    warmup: int = 10,
    lr: float = 6.4,
) -> np.ndarray:
    """Predict classes by MAE's linear probe: BatchNorm without affine, linear layer, LARS.

    Momentum .9, trust .001, no weight decay, linear warm-up and then half a cosine to 0. Deviates
    from the paper in two ways: features are fixed, so there is no augmentation, and the batch is
    smaller on small data.

    Args:
        train_x: training features, [N, D], N at least 2.
        train_y: training classes, integers from 0, [N].
        test_x: test features, [M, D].
        seed: of the initial weights and of the order of samples.
        epochs: passes over the training samples.
        warmup: epochs of linear warm-up.
        lr: highest learning rate.

    Returns:
        Predicted classes, [M].

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377),
    appendix A.1.

    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> mae_batchnorm(x, (x[:, 0] > 0).astype(int), np.array([[-0.9], [0.9]]), seed=0)
    array([0, 1])
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
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator).repeat(repeats)
        for step in range(num_steps):
            index = order[step * batch : (step + 1) * batch]
            inputs = F.batch_norm(x[index], mean, variance, training=True, eps=1e-6)
            loss = F.cross_entropy(F.linear(inputs, *parameters), y[index])
            rate = lr * _warmup_cosine(epoch + step / num_steps, warmup, epochs)
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
    momentum: float = 0.9,
    trust: float = 0.001,
) -> None:
    """Take one LARS step in place, without weight decay.

    ``v <- momentum v + trust |p| / |g| g`` and ``p <- p - lr v``; biases (one dimension), and
    tensors whose norm or gradient norm is 0, take the gradient unscaled.

    Source: You et al., Large Batch Training of Convolutional Networks (arXiv 1708.03888).

    >>> p, v = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    >>> lars_step([p], [torch.tensor([[0.0, 2.0]])], [v], lr=100.0)
    >>> p  # |p| / |g| = 5 / 2
    tensor([[3.0000, 3.5000]])
    """
    for parameter, gradient, velocity in zip(parameters, gradients, velocities, strict=True):
        size, slope = parameter.norm(), gradient.norm()
        scaled = parameter.ndim > 1 and size > 0 and slope > 0
        velocity.mul_(momentum).add_(gradient * (trust * size / slope) if scaled else gradient)
        parameter.sub_(velocity, alpha=lr)


def _warmup_cosine(epoch: float, warmup: int, epochs: int) -> float:
    if epoch < warmup:
        return epoch / warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
