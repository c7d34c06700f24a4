"""A language model and a tokenizer of somebody who names them as transformers does."""

import torch
import torch.nn.functional as F
from torch import nn

PAD, UNK, CLS, SEP, MASK = range(5)
NUM = 24


class Letters:
    """Twenty-four tokens, of which the first five are special."""

    is_fast = False
    mask_token_id, unk_token_id = MASK, UNK
    all_special_ids = (PAD, UNK, CLS, SEP, MASK)

    def get_vocab(self):
        return {chr(97 + i): i for i in range(NUM)}


class TinyForMaskedLM(nn.Module):
    """Predicts tokens from the mean of all; remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(NUM, 8), nn.Linear(8, NUM)

    def forward(self, input_ids, attention_mask=None, labels=None):
        self.seen = input_ids, labels
        x = self.embed(input_ids)
        logits = self.head(x + x.mean(dim=1, keepdim=True))
        if labels is None:
            return None, logits
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits


def texts(batch=4, length=20):
    """Tokens between frames, the second half of odd rows is padding: ids, attention mask."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, NUM, (batch, length), generator=generator)
    ids[:, 0], ids[:, -1] = CLS, SEP
    attention = torch.ones_like(ids)
    attention[1::2, length // 2 :] = 0
    ids[attention == 0] = PAD
    return ids, attention
