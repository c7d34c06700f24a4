import pytest

from maskwise.integrations.hf import DataCollatorForRandomRatioMLM

SENTENCES = [
    f"{who} {did} {where} {when}"
    for who in ("the caterpillar", "an unbeliever", "my aunt and a cat")
    for did in ("sat", "was recombining mats", "slept")
    for where in ("on the mat", "under unbelievable combinations", "here")
    for when in ("today", "when the cats slept")
]


@pytest.fixture(scope="session")
def tokenizer():
    """A WordPiece tokenizer that cuts most words into pieces."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        SENTENCES,
        trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {f"{name[1:-1].lower()}_token": name for name in special}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names)


@pytest.fixture(scope="session")
def samples(tokenizer):
    """54 different sentences of 6 to 30 tokens."""
    return [{"input_ids": tokenizer(sentence)["input_ids"]} for sentence in SENTENCES]


@pytest.fixture
def make_collator(tokenizer):
    def make(**more):
        return DataCollatorForRandomRatioMLM(more.pop("tokenizer", tokenizer), **more)

    return make
