"""A law in transformers' PatchTST: it learns to fill in a series, and then to forecast it.

Needs `pip install "maskwise[text]"`. Your own series go in place of these; ETTh1 is done by
`python -m benchmarks.attach_pays patchtst`.
"""

import numpy as np
import torch
import transformers

import maskwise as mw

PAST, AHEAD, STEPS = 48, 12, 50
SIZE = {
    "num_input_channels": 2, "context_length": PAST, "prediction_length": AHEAD,
    "patch_length": 6, "patch_stride": 6, "d_model": 16, "ffn_dim": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2,
}  # fmt: skip


def windows(num: int) -> torch.Tensor:
    """Return parts of two series with a daily and a weekly swing, [N, past + ahead, 2]."""
    random = np.random.default_rng(0)
    hours = np.arange(num)[:, None]
    swing = np.sin(2 * np.pi * hours / [24, 24] + [0, 1]) + 0.5 * np.sin(2 * np.pi * hours / 168)
    series = torch.from_numpy(swing + 0.2 * random.normal(size=swing.shape)).float()
    return series.unfold(0, PAST + AHEAD, 1).transpose(1, 2)


def train(model: torch.nn.Module, x: torch.Tensor, *, forecast: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    for _ in range(STEPS):
        rows = x[torch.randint(len(x), (32,), generator=generator)]
        more = {"future_values": rows[:, PAST:]} if forecast else {}
        model(past_values=rows[:, :PAST], **more).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def main() -> None:
    transformers.set_seed(0)
    x = windows(2400)
    learned, new = x[:1900], x[2000:]
    model = transformers.PatchTSTForPretraining(transformers.PatchTSTConfig(**SIZE))
    with mw.attach(model, "uniform:0.2,0.8") as attached:
        train(model, learned, forecast=False)
    hidden = [step.realised for step in attached.log]
    print(f"{STEPS} steps, {min(hidden):.0%} to {max(hidden):.0%} of the patches hidden")
    forecaster = transformers.PatchTSTForPrediction(transformers.PatchTSTConfig(**SIZE))
    forecaster.model.load_state_dict(model.model.state_dict())
    train(forecaster, learned, forecast=True)
    with torch.no_grad():
        ahead = forecaster.eval()(past_values=new[:, :PAST]).prediction_outputs
    for name, found in {"PatchTST": ahead, "the last value": new[:, PAST - 1 : PAST]}.items():
        print(f"error of {name}: {(found - new[:, PAST:]).square().mean():.2f}")


if __name__ == "__main__":
    main()
