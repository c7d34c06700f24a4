"""The likelihood of held-out DNA under a masked model."""

from typing import Any

import numpy as np
import torch

from maskwise.dna.data import DNASplits
from maskwise.dna.evaluation import with_tokens
from maskwise.measure.likelihoods import Held, measure
from maskwise.tokens.evaluation import held_tokens
from maskwise.tokens.model import LanguageModel


def dna_likelihood(
    model: LanguageModel,
    splits: DNASplits,
    law: str,
    *,
    num_samples: int | None = None,
    **options: int,
) -> dict[str, Any]:
    """Return what likelihood.json holds, for windows of the test part; see `measure`.

    Values per base can be compared between kinds of tokens.
    """
    dna = model.tokenizer
    position = "base" if dna.tokens == "bases" else "token"
    words = {"sample": "window", "position": position, "dimension": "base"}

    def held(index: np.ndarray) -> Held:
        ids = dna.ids(splits.test.get(with_tokens(dna, splits.test, index)))
        sizes = torch.tensor([len(letters) for letters in dna.letters(range(dna.num_tokens))])
        bases = sizes[ids] * dna.eligible(ids)
        num_dims = float(bases.sum(dim=1).double().mean())
        return held_tokens(model, ids, words)._replace(num_dims=num_dims)

    options["num_samples"] = 64 if num_samples is None else num_samples
    return measure(model, held, len(splits.test), splits.name, law, **options)
