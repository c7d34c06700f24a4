"""Models of DNA that start from a run."""

import pytest
import torch

from maskwise.dna.model import DNAModelSettings
from maskwise.dna.record import RECORD, DNARunSettings
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.model_folder import save_model
from maskwise.settings import override
from maskwise.tokens.model import LanguageModel

SHAPE = {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "equivariant": True}


@pytest.fixture
def run(tmp_path):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = LanguageModel(DNA(window=12), DNAModelSettings(**SHAPE))
    save_model(tmp_path / "run" / "model", model)
    return tmp_path / "run", model


def started(place, dna, **given):
    config = override(DNARunSettings(), {"model.init": str(place), **given})
    config = RECORD.init.settings(config, place, given)
    made = LanguageModel(dna, config.model)
    return config, made, RECORD.init.load(made, place)


def test_windows_of_another_length_take_all(run):
    place, model = run
    config, again, told = started(place, DNA(window=30))
    assert (config.model.kind, config.model.equivariant) == ("transformer", True)
    assert config.data.tokens == "bases"
    assert "left" not in told
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_other_tokens_take_the_blocks(run):
    place, model = run
    _, again, told = started(place, DNA(window=30, tokens="kmers:2"), **{"data.tokens": "kmers:2"})
    assert "tokens: 0 of " in told
    assert "left: network.network.bias, network.network.embed.weight" in told
    mine, theirs = (each.network.network.blocks[0].out.weight for each in (again, model))
    assert torch.equal(mine, theirs)


def test_runs_of_other_data_are_refused(tmp_path):
    from maskwise.images.images import Images
    from maskwise.patches.model import PatchModel, PatchModelSettings

    images = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
    shape = {"width": 8, "depth": 1, "heads": 1, "decoder_width": 8}
    save_model(tmp_path / "model", PatchModel(images, PatchModelSettings(**shape)))
    with pytest.raises(UserError, match="is a model of images, not of dna"):
        started(tmp_path, DNA(window=12))
