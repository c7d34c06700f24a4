"""The likelihood of held-out DNA under a masked model."""

from typing import Any

import torch

from maskwise.dna.data import DNASplits
from maskwise.dna.evaluation import with_tokens
from maskwise.measure.features import frozen
from maskwise.measure.likelihoods import choose
from maskwise.tokens.likelihoods import measured
from maskwise.tokens.model import LanguageModel


def measure_windows(
    model: LanguageModel,
    splits: DNASplits,
    law: str,
    *,
    num_samples: int = 64,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return what likelihood.json holds, for windows of the test part; arguments as for `measure`.

    Values per base can be compared between kinds of tokens.
    """
    dna = model.modality
    index = choose(len(splits.test), num_samples, passes, seed)
    with frozen(model) as device:
        ids = dna.ids(splits.test.get(with_tokens(dna, splits.test, index))).to(device)
        size = torch.tensor([len(letters) for letters in dna.letters(range(dna.num_tokens))])
        bases = size.to(device)[ids] * dna.eligible(ids)
        words = {"sample": "window", "position": "token", "dimension": "base"}
        if dna.tokens == "bases":
            words["position"] = "base"
        options = {"passes": passes, "seed": seed, "batch_size": batch_size}
        num_dims = float(bases.sum(dim=1).double().mean())
        return measured(model, ids, splits.name, law, words, options, num_dims)
