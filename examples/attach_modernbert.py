"""A law in ModernBERT under `transformers.Trainer`: one line, and a callback.

Needs `pip install "maskwise[text]"`. Your own tokenizer and dataset go in place of these.
"""

import tempfile

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

import maskwise as mw

SPECIAL = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
WHO, DID = ("the cat", "a dog", "my aunt", "an owl"), ("sat", "slept", "sang", "ate")
LINES = [f"{who} {did} on the {where}" for who in WHO for did in DID for where in ("mat", "roof")]


def make_tokenizer() -> transformers.PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = list(SPECIAL.values())
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    frame = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, frame)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def main() -> None:
    transformers.set_seed(0)
    tokenizer = make_tokenizer()
    data = [{"input_ids": tokenizer(line)["input_ids"]} for line in LINES]
    model = transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, pad_token_id=0, cls_token_id=2, bos_token_id=2, sep_token_id=3,
            eos_token_id=3,
        )
    )  # fmt: skip
    law = "uniform:0.1,0.6"
    attached = mw.attach(model, law, tokenizer=tokenizer, pattern="words", eval_ratio=0.15)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, max_steps=40, per_device_train_batch_size=16, learning_rate=5e-3,
            logging_steps=20, save_strategy="no", report_to="none", disable_tqdm=True,
            label_names=["input_ids"], prediction_loss_only=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, arguments, transformers.DataCollatorWithPadding(tokenizer), data, data,
            callbacks=[attached.trainer_callback()],
        )  # fmt: skip
        trainer.train()
        print(f"loss with 15 % hidden: {trainer.evaluate()['eval_loss']:.2f} nats")


if __name__ == "__main__":
    main()
