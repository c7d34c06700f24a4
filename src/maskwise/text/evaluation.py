"""What a language model is worth: loss by ratio, minimal pairs, probes, fine-tuning."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from maskwise.errors import UserError
from maskwise.measure.features import ALWAYS, Ratio, data_entry, models_of, random_subset
from maskwise.measure.finetuning import FineTuneSettings, tuned_row
from maskwise.measure.probes import given_split, probe_row
from maskwise.measure.protocols import PROBES, Found, Probe, ScoringName
from maskwise.modality import Entries, Pool
from maskwise.predict.parts import VisibleSettings
from maskwise.settings import settings
from maskwise.text.data import TextSplits
from maskwise.text.likelihoods import measure_pairs
from maskwise.text.tasks import (
    TextTask,
    WordTask,
    cut_note,
    embed_texts,
    parse_task,
    read_tagged_task,
    read_task,
    text_samples,
    word_features,
)
from maskwise.text.text import Text
from maskwise.textio import user_path
from maskwise.tokens.curve import padded, partial_rows
from maskwise.tokens.evaluation import each_layer, losses_by_ratio, shares
from maskwise.tokens.model import LanguageModel

MEASURES = ("accuracy", "mcc")  # of fine-tuned models


@settings
class TextEvaluateSettings(VisibleSettings):
    """How a language model is evaluated."""

    numbers: ClassVar[bool] = False

    ratios: tuple[Ratio, ...] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.95)
    """Hidden fractions at which the loss is measured; 0.15 is always among them."""
    num_rows: PositiveInt = 512
    """Rows of held-out text at most, chosen at random."""
    pairs: tuple[str, ...] = ()
    """Files or folders of minimal pairs (BLiMP, Zorro)."""
    num_pairs: PositiveInt = 100
    """Pairs of each paradigm at most, chosen at random."""
    probes: tuple[str, ...] = ()
    """Labelled texts to probe the frozen model on, as TRAIN:TEST or NAME=TRAIN:TEST (files)."""
    token_probes: tuple[str, ...] = ()
    """Texts whose words have tags, such as parts of speech, as TRAIN:TEST or NAME=TRAIN:TEST."""
    layers: tuple[int, ...] = ()
    """Layers that are probed, 0 = the first, -1 = the last; none = all."""
    pools: tuple[Pool, ...] = ("mean",)
    """Features of a text."""
    protocols: tuple[ScoringName, ...] = ("logistic", "knn")
    """Probes of labelled texts."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Labelled texts, or tagged words, to train on at most, chosen at random."""
    num_test: PositiveInt = 10_000
    """Labelled texts, or tagged words, to test on at most, chosen at random."""
    baselines: bool = True
    """Also probe and fine-tune the untrained model, and probe words without a model."""
    finetune: FineTuneSettings = FineTuneSettings()
    """Fine-tuning of the whole model."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks and the bootstrap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in (*self.probes, *self.token_probes, *self.finetune.tasks):
            parse_task(text)


def check_files(config: TextEvaluateSettings) -> None:
    """Refuse files that are not there, before anything is trained."""
    tasks = [*config.probes, *config.token_probes, *config.finetune.tasks]
    named = [path for task in map(parse_task, tasks) for path in (task.train, task.test)]
    for path in (*named, *map(Path, config.pairs)):
        if not user_path(path).exists():
            raise UserError(f"{path}, which evaluation needs, does not exist")


def evaluate_text(
    model: LanguageModel[Text],
    splits: TextSplits,
    config: TextEvaluateSettings,
    *,
    pattern: str,
    untrained: LanguageModel[Text] | None = None,
) -> Entries:
    """Return the entries of result.json: data, reconstruction, probes, pairs and fine-tuning.

    Nothing depends on the training seed or law, so results of different runs are comparable.
    The train part gives a baseline of the losses, and so does the model before training.
    """
    seed = config.seed
    models = models_of(model, untrained, baselines=config.baselines)
    sizes = (config.num_train, config.num_test)
    probed: list[Entries] = []
    partly: list[Entries] = []
    for text in config.probes:
        task = read_task(text, *sizes, seed)
        probed += text_probes(models, task, config)
        partly += text_parts(model, task, config)
    for text in config.token_probes:
        probed += word_probes(models, read_tagged_task(text, *sizes, seed), config)
    tasks = [read_task(text, *sizes, seed) for text in config.finetune.tasks]
    index = random_subset(len(splits.test), config.num_rows, seed)
    chosen = random_subset(len(splits.train), config.num_train, seed)
    unigram = {"unigram": -shares(model.tokenizer, splits.train, chosen).log()}
    return {
        "data": data_entry(splits, [model.tokenizer.length]),
        "reconstruction": losses_by_ratio(
            model, splits.test, index, (*config.ratios, ALWAYS), pattern, seed, unigram
        ),
        "probes": probed,
        "partial": partly,
        "minimal_pairs": [
            measure_pairs(model, Path(path), num_pairs=config.num_pairs, seed=seed)
            for path in config.pairs
        ],
        "finetuning": [
            tuned_row(name, model, text_samples(model, task), config.finetune, MEASURES)
            for task in tasks
            for name, model in models.items()
        ],
    }


def text_probes(
    models: Mapping[str, LanguageModel[Text]], task: TextTask, config: TextEvaluateSettings
) -> list[Entries]:
    """Return the rows of the table of probes: labelled texts under every model, layer and pool."""
    parts, labels = (task.train, task.test), given_split(task.train_y, task.test_y)
    rows, texts = [], [*task.train, *task.test]
    [first, *_] = models.values()
    noted = replace(labels, note=cut_note(first.tokenizer, texts))
    for title, model, layer in each_layer(models, config.layers, task.name):
        for pool in config.pools:
            x = np.concatenate([embed_texts(model, part, pool, layer) for part in parts])
            name, probes = f"{title}, {pool}", (PROBES[each] for each in config.protocols)
            rows += [_row(name, x, noted, probe, config.seed) for probe in probes]
    if config.baselines:
        x = np.array(texts, dtype=object)
        rows.append(_row("bag of words", x, labels, BAG_OF_WORDS, config.seed))
    return [row | {"task": task.name} for row in rows]


def text_parts(
    model: LanguageModel[Text], task: TextTask, config: TextEvaluateSettings
) -> list[Entries]:
    """Return the rows of "partial" in result.json: labelled texts of which a part is visible."""
    text = model.tokenizer
    train, test = (
        padded(text.tokenize(part).ids, text.length, text.pad) for part in (task.train, task.test)
    )
    return partial_rows(
        *(model, (train, test), (task.train_y, task.test_y), task.name, config),
        baselines=config.baselines,
        seed=config.seed,
    )


def word_probes(
    models: Mapping[str, LanguageModel[Text]], task: WordTask, config: TextEvaluateSettings
) -> list[Entries]:
    """Return the rows of the table of probes: the tags of words, by logistic regression.

    Intervals are a bootstrap of sentences, whose words are not independent.
    """
    sentences, num_train = [*task.train, *task.test], len(task.train_y)
    groups = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])
    labels = given_split(task.train_y, task.test_y, groups)
    rows = []
    for name, model, layer in each_layer(models, config.layers, task.name):
        found = [word_features(model, part, layer) for part in (task.train, task.test)]
        x = np.concatenate([words for part in found for words in part])
        known = ~np.isnan(x[:, 0])
        y, num = np.where(known, labels.y, -1), int((~known).sum())
        note = f"{num} words without tokens of their own left out" if num else ""
        asked = given_split(y[:num_train], y[num_train:], groups, note)
        rows.append(_row(name, x, asked, PROBES["logistic"], config.seed))
    if config.baselines:
        words = np.array([word for sentence in sentences for word in sentence], dtype=object)
        name = "most frequent tag of the word"
        rows.append(_row(name, words, labels, MOST_FREQUENT, config.seed))
    return [row | {"task": task.name} for row in rows]


def bag_of_words(x: np.ndarray, y: np.ndarray, test: np.ndarray, *_: object) -> Found:
    """Predict the classes of texts from tf-idf by logistic regression: no model at all."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # Every run of characters between spaces: single letters and marks say something too.
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    # At C=1 features of norm 1 are held back too much: a weak baseline with many classes.
    model = LogisticRegression(C=10.0, max_iter=1000)
    model.fit(words.fit_transform(x.tolist()), y)
    return model.predict(words.transform(test.tolist())), True


def most_frequent(x: np.ndarray, y: np.ndarray, test: np.ndarray, *_: object) -> Found:
    """Return the most frequent tag of each word in training; of unknown words, that of all.

    >>> most_frequent(np.array(["a", "b", "b"]), np.array([0, 1, 1]), np.array(["a", "c"]))
    (array([0, 1]), True)
    """
    names, of_word = np.unique(x.tolist(), return_inverse=True)
    counts = np.zeros((len(names), y.max() + 1), dtype=np.int64)
    np.add.at(counts, (of_word, y), 1)
    best = dict(zip(names.tolist(), counts.argmax(axis=1), strict=True))
    usual = counts.sum(axis=0).argmax()
    return np.array([best.get(word, usual) for word in test.tolist()]), True


BAG_OF_WORDS = Probe("logistic on tf-idf (words and pairs of words, C=10)", bag_of_words)
MOST_FREQUENT = Probe("counts", most_frequent)
_row = partial(probe_row, accuracy_only=True)
