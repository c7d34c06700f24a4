"""What a language model is worth: loss by ratio, minimal pairs, probes, fine-tuning."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from maskwise.errors import UserError
from maskwise.measure.features import Pool, subset
from maskwise.measure.finetuning import FineTune
from maskwise.settings import settings
from maskwise.text.finetuning import finetune_texts
from maskwise.text.minimal_pairs import measure_pairs
from maskwise.text.probes import text_probes, word_probes
from maskwise.text.source import TextSplits
from maskwise.text.tasks import parse_task, read_tagged_task, read_task
from maskwise.tokens.losses import losses_by_ratio, shares
from maskwise.tokens.model import LanguageModel

Ratio = Annotated[float, Field(gt=0, lt=1)]

ALWAYS = 0.15  # the ratio that published results are at


@settings
class TextEvaluate:
    """How a language model is evaluated."""

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
    protocols: tuple[Literal["logistic", "knn"], ...] = ("logistic", "knn")
    """Probes of labelled texts."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Labelled texts, or tagged words, to train on at most, chosen at random."""
    num_test: PositiveInt = 10_000
    """Labelled texts, or tagged words, to test on at most, chosen at random."""
    baselines: bool = True
    """Also probe and fine-tune the untrained model, and probe words without a model."""
    finetune: FineTune = FineTune()
    """Fine-tuning of the whole model."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks and the bootstrap."""

    def __post_init__(self) -> None:
        for text in (*self.probes, *self.token_probes, *self.finetune.tasks):
            parse_task(text)


def check_files(config: TextEvaluate) -> None:
    """Refuse files that are not there, before anything is trained.

    Raises:
        UserError: a file that does not exist.
    """
    tasks = [*config.probes, *config.token_probes, *config.finetune.tasks]
    named = [path for task in map(parse_task, tasks) for path in (task.train, task.test)]
    for path in (*named, *map(Path, config.pairs)):
        if not path.expanduser().exists():
            raise UserError(f"{path}, which evaluation needs, does not exist")


def evaluate_text(
    model: LanguageModel,
    splits: TextSplits,
    config: TextEvaluate,
    *,
    pattern: str,
    untrained: LanguageModel | None = None,
) -> dict[str, Any]:
    """Return the entries of result.json: data, reconstruction, probes, pairs and fine-tuning.

    Nothing depends on the training seed or law, so results of different runs are comparable.

    Args:
        model: a pretrained model.
        splits: losses are measured on rows of the test part; the train part gives the baseline.
        config: what is measured.
        pattern: how hidden tokens lie when the loss is measured.
        untrained: the same model before training, a baseline.

    Raises:
        UserError: a file that cannot be used, or a layer or pool that the model does not have.
    """
    seed = config.seed
    models = {"encoder": model}
    if config.baselines and untrained is not None:
        models["untrained encoder"] = untrained
    sizes = (config.num_train, config.num_test)
    common: dict[str, Any] = {"layers": config.layers, "baselines": config.baselines, "seed": seed}
    probes: list[dict[str, Any]] = []
    for text in config.probes:
        task = read_task(text, *sizes, seed)
        probes += text_probes(
            models, task, pools=config.pools, protocols=config.protocols, **common
        )
    for text in config.token_probes:
        probes += word_probes(models, read_tagged_task(text, *sizes, seed), **common)
    tasks = [read_task(text, *sizes, seed) for text in config.finetune.tasks]
    index = subset(len(splits.test), config.num_rows, seed)
    chosen = subset(len(splits.train), config.num_train, seed)
    unigram = {"unigram": -shares(model.modality, splits.train, chosen).log()}
    return {
        "data": {
            "name": splits.name,
            "num_train": len(splits.train),
            "num_test": len(splits.test),
            "shape": [model.modality.length],
            "classes": None,
        },
        "reconstruction": losses_by_ratio(
            model, splits.test, index, (*config.ratios, ALWAYS), pattern, seed, unigram
        ),
        "probes": probes,
        "minimal_pairs": [
            measure_pairs(model, Path(path), num_pairs=config.num_pairs, seed=seed)
            for path in config.pairs
        ],
        "finetuning": [
            row for task in tasks for row in finetune_texts(models, task, config.finetune)
        ],
    }
