"""Frozen features of texts and of words, probed by layer, beside baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskwise.measure.bootstrap import ends, resampled
from maskwise.measure.features import Pool
from maskwise.measure.probes import LOGISTIC, logistic
from maskwise.measure.protocols import Protocol, probe_row, probe_rows
from maskwise.text.features import cut_note, embed_texts, word_features
from maskwise.text.tasks import TextTask, WordTask
from maskwise.tokens.model import LanguageModel

Models = Mapping[str, LanguageModel]


def text_probes(
    models: Models,
    task: TextTask,
    *,
    layers: Sequence[int] = (),
    pools: Sequence[Pool] = ("mean",),
    protocols: Sequence[Protocol] = ("logistic", "knn"),
    baselines: bool = True,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows of the table of probes: labelled texts under every model, layer and pool.

    Args:
        models: what to probe, by name.
        task: the texts.
        layers: which layers; none = all.
        pools: which features of a text.
        protocols: which probes.
        baselines: also probe a bag of words.
        seed: of the probes and the bootstrap.

    Raises:
        UserError: a text without a token, or a layer or pool that a model lacks.
    """
    rows = []
    for title, model in models.items():
        cut = cut_note(model.modality, [*task.train, *task.test])
        for layer in layers or range(model.num_layers):
            for pool in pools:
                train, test = (
                    embed_texts(model, texts, pool, layer) for texts in (task.train, task.test)
                )
                found = probe_rows(
                    f"{title} layer {layer % model.num_layers}, {pool}",
                    (train, task.train_y),
                    (test, task.test_y),
                    protocols,
                    seed,
                )
                rows += [row | {"note": _joined(row["note"], cut)} for row in found]
    if baselines:
        predicted = bag_of_words(task.train, task.train_y, task.test)
        rows.append(
            probe_row("bag of words", BAG_OF_WORDS, predicted, task.train_y, task.test_y, seed)
        )
    return [row | {"task": task.name} for row in rows]


BAG_OF_WORDS = "logistic on tf-idf (words and pairs of words, C=10)"


def bag_of_words(train: Sequence[str], train_y: np.ndarray, test: Sequence[str]) -> np.ndarray:
    """Predict the classes of texts from tf-idf by logistic regression: no model at all."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # Every run of characters between spaces: single letters and marks say something too.
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    # At C=1 features of norm 1 are held back too much: a weak baseline with many classes.
    model = LogisticRegression(C=10.0, max_iter=1000)
    model.fit(words.fit_transform(train), train_y)
    return model.predict(words.transform(test))


def word_probes(
    models: Models,
    task: WordTask,
    *,
    layers: Sequence[int] = (),
    baselines: bool = True,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows of the table of probes: the tags of words, by logistic regression.

    Words that have no tokens of their own are left out, and "note" counts them. Intervals are a
    bootstrap of sentences, whose words are not independent.

    Args:
        models: what to probe, by name.
        task: the words.
        layers: which layers; none = all.
        baselines: also give each word its most frequent tag.
        seed: of the bootstrap.
    """
    sentence = np.repeat(np.arange(len(task.test)), [len(words) for words in task.test])
    rows = []
    for title, model in models.items():
        for layer in layers or range(model.num_layers):
            train, test = (
                np.concatenate(word_features(model, part, layer))
                for part in (task.train, task.test)
            )
            seen, asked = (~np.isnan(part[:, 0]) for part in (train, test))
            predicted, converged = logistic(train[seen], task.train_y[seen], test[asked])
            num = int((~seen).sum() + (~asked).sum())
            row = _word_row(
                f"{title} layer {layer % model.num_layers}",
                LOGISTIC,
                predicted,
                (task.train_y[seen], task.test_y[asked], sentence[asked]),
                seed,
            )
            left_out = f"{num} words without tokens of their own left out" if num else ""
            slow = "" if converged else "not converged"
            rows.append(row | {"note": _joined(slow, row["note"], left_out)})
    if baselines:
        predicted = most_frequent(task.train, task.train_y, task.test)
        rows.append(
            _word_row(
                "most frequent tag of the word",
                "counts",
                predicted,
                (task.train_y, task.test_y, sentence),
                seed,
            )
        )
    return [row | {"task": task.name} for row in rows]


def most_frequent(
    train: Sequence[Sequence[str]], train_y: np.ndarray, test: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return the most frequent tag of each word in training; of unknown words, that of all.

    >>> most_frequent([["a", "b", "b"]], np.array([0, 1, 1]), [["a", "c"]])
    array([0, 1])
    """
    words = [word for sentence in train for word in sentence]
    names, of_word = np.unique(words, return_inverse=True)
    counts = np.zeros((len(names), train_y.max() + 1), dtype=np.int64)
    np.add.at(counts, (of_word, train_y), 1)
    best = dict(zip(names.tolist(), counts.argmax(axis=1), strict=True))
    usual = counts.sum(axis=0).argmax()
    return np.array([best.get(word, usual) for sentence in test for word in sentence])


def _word_row(
    name: str,
    protocol: str,
    predicted: np.ndarray,
    truth: tuple[np.ndarray, np.ndarray, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    train_y, test_y, sentence = truth
    row = probe_row(name, protocol, predicted, train_y, test_y, seed)
    _, sentence = np.unique(sentence, return_inverse=True)
    right = np.bincount(sentence, predicted == test_y)
    # Equal seeds resample the same sentences, so this is the share of right words in them.
    low, high = ends(resampled(right, seed) / resampled(np.bincount(sentence), seed))
    return row | {"low": low, "high": high}


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
