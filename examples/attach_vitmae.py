"""A law in transformers' ViTMAE, under its Trainer: three lines more than without.

Needs `pip install "maskwise[text]"`. Your own pictures and model go in place of these.
"""

import tempfile

import torch
import transformers
from sklearn.datasets import load_digits

import maskwise as mw

TRAINED = 1200  # pictures; the rest is to test on


def main() -> None:
    transformers.set_seed(0)
    pixels = torch.from_numpy(load_digits().data).float().view(-1, 1, 8, 8) / 8 - 1
    config = transformers.ViTMAEConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=48, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=96, decoder_hidden_size=32,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=4, decoder_intermediate_size=64,
    )  # fmt: skip
    model = transformers.ViTMAEForPreTraining(config)
    # Made from a configuration its positions are zeros, which mend=True fills in.
    attached = mw.attach(model, "uniform:0.4,0.9", pattern="block", mend=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, num_train_epochs=6, per_device_train_batch_size=100, learning_rate=3e-3,
            logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        data = [{"pixel_values": picture} for picture in pixels[:TRAINED]]
        callbacks = [attached.trainer_callback()]
        transformers.Trainer(model, arguments, train_dataset=data, callbacks=callbacks).train()
    for step in list(attached.log)[:3]:
        print(f"step {step.step}: {step.asked:.3f} asked for, {step.realised:.3f} hidden")
    attached.detach()
    new, mean = pixels[TRAINED:], pixels[:TRAINED].mean(dim=0)
    print(f"error of the mean digit: {(new - mean).square().mean():.3f}")
    for ratio in (0.5, 0.75, 0.9):
        with torch.no_grad(), mw.attach(model.eval(), ratio, eval_ratio=ratio):
            print(f"error of pixels with {ratio:.0%} hidden: {model(new).loss:.3f}")


if __name__ == "__main__":
    main()
