"""Fine-tuning on texts with labels."""

from collections.abc import Mapping

from maskwise.measure.finetuning import FineTuneSettings, Samples, tuned_row
from maskwise.modality import Entries
from maskwise.text.features import cut_note, embed_texts
from maskwise.text.tasks import TextTask
from maskwise.tokens.model import LanguageModel


def finetune_texts(
    models: Mapping[str, LanguageModel], task: TextTask, config: FineTuneSettings
) -> list[Entries]:
    """Return accuracy and Matthews correlation of fine-tuned models, see `tuned_row`.

    Args:
        models: what to fine-tune, by name.
        task: the texts.
        config: how.
    """
    return [
        tuned_row(name, model, text_samples(model, task), config, ("accuracy", "mcc"))
        for name, model in models.items()
    ]


def text_samples(model: LanguageModel, task: TextTask) -> Samples[LanguageModel]:
    """Return texts as a model takes them; those longer than a row of the model are cut.

    Raises:
        UserError: a text without a token.
    """
    text = model.tokenizer
    note = cut_note(text, [*task.train, *task.test])
    ids = text.tokenize(task.train).ids
    lengths = (ids != text.pad).sum(dim=1)
    return Samples(
        task.name,
        task.train_y,
        task.test_y,
        len(task.classes),
        lengths,
        lambda index, seed, epoch: ids[index, : int(lengths[index].max())],
        lambda tuned: embed_texts(tuned, task.test),
        note,
    )
