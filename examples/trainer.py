"""R²MAE in transformers: a Trainer whose samples have random mask ratios, by a change of one line.

Needs `pip install "maskwise[text]"`. Your own tokenizer and dataset go in place of these.
"""

import tempfile

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from maskwise.integrations.hf import DataCollatorForRandomRatioMLM

SPECIAL = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
WHO, DID, WHERE = (
    ("the cat", "a dog", "my aunt"),
    ("sat", "slept", "sang"),
    ("mat", "sofa", "roof"),
)
LINES = [f"{who} {did} on the {where}" for who in WHO for did in DID for where in WHERE] * 8


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = list(SPECIAL.values())
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    frame = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, frame)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def main() -> None:
    transformers.set_seed(0)
    tokenizer = make_tokenizer()
    data = [{"input_ids": tokenizer(line)["input_ids"]} for line in LINES]
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    model = transformers.BertForMaskedLM(config)
    collator = DataCollatorForRandomRatioMLM(tokenizer, law="uniform:0.1,0.9", pattern="words")
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, num_train_epochs=6, per_device_train_batch_size=24, learning_rate=5e-3,
            logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        transformers.Trainer(model, arguments, collator, data).train()
    model.eval()
    for ratio in (0.2, 0.5, 0.8):
        batch = DataCollatorForRandomRatioMLM(tokenizer, law=ratio, pattern="words")(data[:27])
        print(f"loss with {ratio:.0%} of the tokens hidden: {model(**batch).loss:.2f} nats")


if __name__ == "__main__":
    main()
