"""Windows of another width than a model of DNA was trained on."""

import numpy as np
import torch

from maskwise.dna.bases import encode
from maskwise.dna.evaluation import embed_sequences
from maskwise.dna.record import RECORD
from maskwise.settings import override

LONG = "ACGTTGCAAGGCTTAACCGGTATCGATTGCACGTACGGTT"


def test_a_model_reads_windows_of_another_width(make_dna_model, caplog):
    """A sequence that was cut into tiles is read as one."""
    model = make_dna_model()
    made = RECORD.resized(model, (1, 40))
    assert made.tokenizer.grid == (40,)
    assert made.network is model.network
    assert "windows of 40 bases, and the model's had 16" in caplog.text
    codes = torch.from_numpy(encode(LONG))[None]
    strands = torch.cat([codes, torch.from_numpy(encode(LONG[::-1].translate(COMPLEMENT)))[None]])
    expected = model.encode(strands).mean(0)
    found = embed_sequences(made, [encode(LONG)])
    np.testing.assert_allclose(found[0], expected.detach(), atol=1e-5)
    assert not np.allclose(embed_sequences(model, [encode(LONG)]), found, atol=1e-3)
    assert RECORD.resized(model, (16,)) is model


COMPLEMENT = str.maketrans("ACGT", "TGCA")


def test_settings_ask_for_a_width(make_dna_model):
    model, config = make_dna_model(), RECORD.own("array")
    assert RECORD.suited(model, None, config)[0] is model
    wide, _ = RECORD.suited(model, None, override(config, {"data.window": 40}))
    found = RECORD.incomplete(wide, [LONG, "ACGT"], config)
    assert found.source.get([0, 1]).shape == (2, 40)
    assert found.whole.tolist() == [40, 4]
    np.testing.assert_array_equal(
        RECORD.embed(wide, [LONG], config, "mean", -1), embed_sequences(wide, [encode(LONG)])
    )
