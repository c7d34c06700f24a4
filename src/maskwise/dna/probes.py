"""Frozen features of sequences of DNA, probed by layer, beside baselines."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskwise.dna.baselines import baseline_features
from maskwise.dna.features import embed_sequences
from maskwise.dna.tasks import SequenceTask
from maskwise.measure.classification import judged
from maskwise.measure.knn import NAME, knn_votes
from maskwise.measure.probes import best_strength, logistic_scores
from maskwise.tokens.model import LanguageModel

DnaProtocol = Literal["logistic", "knn"]
TITLES = {"logistic": "logistic-lbfgs (C chosen on train, standardised on train)", "knn": NAME}


def dna_probes(
    models: Mapping[str, LanguageModel],
    task: SequenceTask,
    *,
    layers: Sequence[int] = (),
    protocols: Sequence[DnaProtocol] = ("logistic", "knn"),
    baselines: bool = True,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows of the table of probes: labelled sequences under every model and layer.

    Rows have accuracy, Matthews correlation and AUROC of the predictions of all folds together;
    intervals are a bootstrap of the task's groups, whose sequences are not independent.

    Args:
        models: what to probe, by name.
        task: the sequences and their split.
        layers: which layers; none = all.
        protocols: which probes.
        baselines: also probe GC content, frequencies of 4-mers and one-hot bases by logistic
            regression.
        seed: of the bootstrap.

    Raises:
        UserError: a layer that a model lacks.
    """
    rows = []
    for title, model in models.items():
        for layer in layers or range(model.num_layers):
            features = embed_sequences(model, task.sequences, layer)
            name = f"{title} layer {layer % model.num_layers}"
            rows += [_row(name, protocol, features, task, seed) for protocol in protocols]
    if baselines:
        rows += [
            _row(name, "logistic", features, task, seed)
            for name, features in baseline_features(task.sequences).items()
        ]
    return rows


def _row(
    name: str, protocol: DnaProtocol, features: np.ndarray, task: SequenceTask, seed: int
) -> dict[str, Any]:
    scores = np.zeros((len(task.y), len(task.classes)))
    notes, num_unseen = [], 0
    for train, test in task.folds:
        x, y = features[train], task.y[train]
        if protocol == "knn":
            votes = knn_votes(x, y, features[test])
            found, converged = votes / votes.sum(axis=1, keepdims=True), True
        else:
            c = best_strength(x, y, task.groups[train], seed)
            found, converged = logistic_scores(x, y, features[test], c)
        scores[test, : found.shape[1]] = found
        num_unseen += int((~np.isin(task.y[test], y)).sum())
        notes.append("" if converged else "not converged")
    unseen = f"{num_unseen} test samples of classes without training samples"
    asked = np.concatenate([fold.test for fold in task.folds])
    measured = judged(scores[asked], task.y[asked], task.groups[asked], seed)
    accuracy = measured.pop("accuracy")
    return {
        "task": task.name,
        "features": name,
        "protocol": TITLES[protocol],
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        **measured,
        "num_train": max(len(fold.train) for fold in task.folds),
        "num_test": len(asked),
        "note": "; ".join(filter(None, (max(notes), unseen if num_unseen else "", task.note))),
    }
