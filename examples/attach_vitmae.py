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
    attached = mw.attach(model, "uniform:0.2,0.8", pattern="scattered", mend=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, num_train_epochs=4, per_device_train_batch_size=100, learning_rate=3e-3,
            logging_steps=12, save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        data = [{"pixel_values": picture} for picture in pixels[:TRAINED]]
        trainer = transformers.Trainer(model, arguments, train_dataset=data)
        trainer.add_callback(attached.trainer_callback())
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    for line in trainer.state.log_history[:-1]:
        print(f"to step {line['step']}: loss {line['loss']:.3f}, hidden {line['mask_ratio']:.2f}")
    for step in list(attached.log)[:3]:
        print(f"step {step.step}: {step.asked:.3f} asked for, {step.realised:.3f} hidden")
    attached.detach()
    with torch.no_grad():
        model.config.mask_ratio = 0.5
        print(f"loss on new digits, half hidden: {model.eval()(pixels[TRAINED:]).loss:.3f}")


if __name__ == "__main__":
    main()
