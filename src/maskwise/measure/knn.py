"""Weighted nearest neighbours on frozen features."""

import numpy as np
import torch
from torch.nn import functional as F

NAME = "knn (k=20, T=0.07)"


def knn(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> np.ndarray:
    """Predict classes by a vote of the `k` nearest training samples in cosine similarity.

    A neighbour n of a sample x votes for its class with weight ``exp(cos(x, n) / temperature)``.

    Args:
        train_x: training features, [N, D].
        train_y: training classes, integers from 0, [N].
        test_x: test features, [M, D].
        k: neighbours, at most N are used.
        temperature: of the weights.
        chunk: test samples compared at once.

    Returns:
        Predicted classes, [M].

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination
    (arXiv 1805.01978), section 3.4.

    >>> train = np.eye(2, dtype=np.float32)
    >>> knn(train, np.array([0, 1]), np.array([[3.0, 1.0]], dtype=np.float32), k=1)
    array([0])
    """
    return knn_votes(train_x, train_y, test_x, k, temperature, chunk).argmax(axis=1)


def knn_votes(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> np.ndarray:
    """Return the votes for all classes, float32 [M, C], where `knn` returns the one with most.

    >>> train = np.eye(2, dtype=np.float32)
    >>> knn_votes(train, np.array([0, 1]), np.array([[1.0, 0.0]]), temperature=1.0).round(2)
    array([[2.72, 1.  ]], dtype=float32)
    """
    train = F.normalize(torch.from_numpy(train_x).float(), dim=1)
    labels = torch.from_numpy(train_y).long()
    num_classes = int(labels.max()) + 1
    found = []
    for part in torch.from_numpy(test_x).float().split(chunk):
        similarity = F.normalize(part, dim=1) @ train.T
        nearest, index = similarity.topk(min(k, len(train)), dim=1)
        votes = torch.zeros(len(part), num_classes)
        votes.scatter_add_(1, labels[index], (nearest / temperature).exp())
        found.append(votes)
    return torch.cat(found).numpy()
