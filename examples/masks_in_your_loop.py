"""Use the masks alone: a plain torch loop that hides pixels and fills them in.

python examples/masks_in_your_loop.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from maskwise import masks

SIZE, BATCH, STEPS = (8, 8), 128, 300


def main() -> None:
    pixels = torch.from_numpy(load_digits().data).float() / 16  # [N, 64]
    model = nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    per_epoch = len(pixels) // BATCH
    for step in range(STEPS):
        epoch, index = divmod(step, per_epoch)
        ids = torch.arange(index * BATCH, (index + 1) * BATCH)
        mask = masks.draw(
            "uniform:0.3,0.9",
            SIZE,
            sample_ids=ids,  # the masks depend on the sample, the epoch and the seed,
            seed=0,
            epoch=epoch,
            step=step,  # and their ratio on the step
        )
        x = pixels[ids]
        visible = torch.where(mask.hidden, 0, x)
        prediction = model(torch.cat([visible, mask.hidden.float()], dim=1))
        error = (prediction - x).square()
        # A mean over the hidden pixels of each sample, then over samples.
        loss = (error * mask.hidden).sum(1).div(mask.num_hidden).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == STEPS - 1:
            print(f"step {step:3d}  ratio {mask.ratio[0]:.2f}  loss {loss:.4f}")


if __name__ == "__main__":
    main()
