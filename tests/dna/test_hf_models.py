import pytest
import torch

from maskwise.dna.bases import encode
from maskwise.dna.hf_models import write
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA, train_pieces
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from tests.lazy import lazy

transformers = lazy("transformers")
SEQUENCES = ["ACGTTGCANCGTAC", "ttgacau", "ACGRACGTAA"]


def model_of(tokens, **changes):
    kind = {}
    if tokens.startswith("pieces"):
        windows = torch.randint(0, 4, (40, 24), generator=torch.Generator().manual_seed(0))
        kind = {"kind": train_pieces(windows.to(torch.uint8), 20)}
    shape = {"kind": "transformer", "width": 16, "depth": 2, "heads": 2}
    dna = DNA(window=16, tokens=tokens, **kind)
    model = build(dna, DNAModelSettings(**(shape | changes)), seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10 if parameter.ndim > 1 else 1)
    return model


@torch.no_grad()
@pytest.mark.parametrize("tokens", ["bases", "kmers:3", "pieces:20"])
def test_transformers_reads_it(tokens, tmp_path):
    model = model_of(tokens)
    write(model, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    dna = model.tokenizer
    rows = [dna.ids(torch.from_numpy(encode(each))[None])[0] for each in SEQUENCES]
    rows = [row[row != dna.kind.nothing] for row in rows]
    found = tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    for row, ids, there in zip(rows, found["input_ids"], found["attention_mask"], strict=True):
        # Our rows of pieces are cut where they are many.
        assert ids[there > 0].tolist()[: len(row)] == row.tolist()
        assert int(there.sum()) == len(row) or tokens == "pieces:20"
        assert set(ids[there == 0].tolist()) <= {dna.kind.nothing}
    assert tokenizer.mask_token_id == dna.mask

    ids = found["input_ids"]
    mask = Mask(dna.eligible(ids) & (torch.arange(ids.shape[1]) % 3 == 1))
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    seen = ids.masked_fill(mask.hidden, dna.mask)
    logits = loaded(input_ids=seen, attention_mask=found["attention_mask"]).logits[mask.hidden]
    expected = model(ids, mask)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert float(expected[:, dna.alphabet].std()) > 0.1
    # Special tokens are whole, also between bases.
    masked = tokenizer("ACG" + tokenizer.mask_token + "TTA")["input_ids"]
    assert masked.count(dna.mask) == 1


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [("bases", {"kind": "conv"}), ("bases", {"equivariant": True}), ("overlapping:3", {})],
)
def test_what_transformers_lacks(tokens, changes, tmp_path):
    with pytest.raises(
        UserError, match=r"transformers \(model.kind\) of bases.* as onnx or torch"
    ):
        write(model_of(tokens, **changes), tmp_path)
    assert not list(tmp_path.iterdir())
