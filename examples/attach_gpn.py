"""A law in a model of DNA that is trained in a loop of one's own, as GPN's are.

Needs `pip install "maskwise[text]"`. Your own genome, and any ...ForMaskedLM, go in their place.
"""

from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

import maskwise as mw

TOKENS = {name: place for place, name in enumerate(["[PAD]", "[MASK]", "[UNK]", *"ACGT"])}


class ConvNetForMaskedLM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(len(TOKENS), 32), nn.Linear(32, len(TOKENS))
        self.blocks = nn.ModuleList(nn.Conv1d(32, 32, 5, padding=2) for _ in range(3))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> object:
        x = self.embed(input_ids).transpose(1, 2)
        for block in self.blocks:
            x = x + block(x.relu())
        logits = self.head(x.transpose(1, 2)).transpose(1, 2)
        return SimpleNamespace(loss=None if labels is None else F.cross_entropy(logits, labels))


def main() -> None:
    bases = Tokenizer(models.WordLevel(TOKENS, unk_token="[UNK]"))
    bases.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "MASK", "UNK")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bases, **special)
    rng, shape = np.random.default_rng(0), (61, 32, 64)
    steps = np.where(rng.random(shape) < 0.8, 1, rng.integers(4, size=shape))
    texts = ["".join(row) for row in np.array(list("ACGT"))[steps.cumsum(-1) % 4].reshape(-1, 64)]
    *batches, test = tokenizer(texts, return_tensors="pt")["input_ids"].view(shape)
    model = ConvNetForMaskedLM()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    with mw.attach(model, "uniform:0.1,0.6", tokenizer=tokenizer) as attached:
        for batch in batches:
            optimizer.zero_grad()
            model(batch).loss.backward()  # clean tokens: what is hidden is chosen within
            optimizer.step()
    print(
        "hidden in the first steps:", [round(each.realised, 2) for each in attached.since(0)][:5]
    )
    for ratio in (0.15, 0.5):
        with mw.attach(model.eval(), ratio, tokenizer=tokenizer, eval_ratio=ratio):
            print(f"{ratio:.0%} hidden: {model(test).loss.item():.2f} nats a base, of 1.39")


if __name__ == "__main__":
    main()
