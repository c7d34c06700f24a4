"""Models of features that start from a run on other columns, or other genes."""

import pytest
import torch

from maskwise.cells.cells import Cells
from maskwise.cells.record import RECORD as CELLS
from maskwise.columns.init import column_slots
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.model_folder import save_model
from maskwise.settings import override
from maskwise.tables.column import Column
from maskwise.tables.record import RECORD as TABLES
from maskwise.tables.table import Table

SHAPE = {"width": 6, "depth": 2, "code": 3, "heads": 2}


def column(name, *categories):
    if categories:
        return Column(name, "category", categories=categories)
    return Column(name, "number", 40.0, 10.0)


OLD = Table((column("age"), column("sex", "f", "m"), column("height")))
NEW = Table((column("height"), column("weight"), column("sex", "x", "m", "f")))


def model_of(tokenizer, **shape):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return TabularModel(tokenizer, TabularModelSettings(**(SHAPE | shape)))


def started(record, tokenizer, place, **given):
    config = override(record.settings(), {"model.init": str(place), **given})
    config = record.init.settings(config, place, given)
    made = TabularModel(tokenizer, config.model)
    return made, record.init.load(made, place)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_the_same_columns_give_the_same(kind, tmp_path):
    model = model_of(OLD, kind=kind)
    save_model(tmp_path / "model", model)
    again, told = started(TABLES, OLD, tmp_path)
    assert again.config.kind == kind
    assert "columns: 3 of 3 are those of the run" in told
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_columns_are_found_by_their_names(tmp_path):
    model = model_of(OLD, linear=1)
    save_model(tmp_path / "model", model)
    again, told = started(TABLES, NEW, tmp_path)
    assert "columns: 2 of 3 are those of the run, new ones are weight; 1 of the run are" in told
    mine, theirs = (each.network.encoder[0][0].weight for each in (again, model))
    # Numbers, then categories, then which of the columns are blank.
    assert torch.equal(mine[:, 0], theirs[:, 2])  # height
    assert torch.equal(mine[:, [5, 4]], theirs[:, [3, 4]])  # sex: f, m
    assert torch.equal(mine[:, [6, 8]], theirs[:, [7, 6]])  # blank: height, sex
    assert torch.equal(again.network.logits.bias[[2, 1]], model.network.logits.bias[[0, 1]])
    assert torch.equal(again.network.numbers.weight[0], model.network.numbers.weight[2])
    assert torch.equal(again.network.code.weight, model.network.code.weight)


def test_tokens_of_columns_are_found_by_their_names(tmp_path):
    model = model_of(OLD, kind="transformer")
    save_model(tmp_path / "model", model)
    again, _ = started(TABLES, NEW, tmp_path)
    for name in ("names", "values", "number_bias"):
        mine, theirs = (getattr(each.network, name) for each in (again, model))
        assert torch.equal(mine[[0, 2]], theirs[[2, 1]]), name
    assert torch.equal(again.network.numbers[:, 0], model.network.numbers[:, 2])
    assert torch.equal(again.network.categories[[2, 1]], model.network.categories)


def test_genes_and_batches_are_found_by_their_names(tmp_path):
    many = {"loss": "zinb", "target_sum": 100.0}
    old = Cells(("A", "B", "C"), profile=(0.5, 0.3, 0.2), batches=("x", "y"), **many)
    new = Cells(("C", "D", "A"), profile=(0.2, 0.3, 0.5), batches=("y", "z"), **many)
    model = model_of(old, corruption="zero", norm=False)
    with torch.no_grad():
        model.log_dispersion.copy_(torch.tensor([1.0, 2.0, 3.0]))
    save_model(tmp_path / "model", model)
    again, told = started(CELLS, new, tmp_path)
    assert "genes: 2 of 3 are those of the run, new ones are D; 1 of the run are not" in told
    assert again.log_dispersion.tolist() == [3.0, 0.0, 1.0]
    mine, theirs = (each.network.numbers.weight.view(3, 2, 6) for each in (again, model))
    assert torch.equal(mine[[0, 2]], theirs[[2, 0]])
    assert torch.equal(again.network.batch.weight[0], model.network.batch.weight[1])


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("corruption", ["indicator", "zero"])
def test_labels_are_as_many_as_rows(kind, corruption):
    model = model_of(OLD, kind=kind, corruption=corruption, linear=int(kind == "mlp"))
    categories = [each.categories for each in OLD.features]
    found = column_slots(OLD, model.config, categories)
    state = model.state_dict()
    for name in found.keys() & state.keys():
        for axis, labels in found[name].items():
            assert len(labels) == state[name].shape[axis], name
            assert len(set(labels)) == len(labels)
    # Nothing else of them has the size of the columns, whatever that is.
    wide = Table(tuple(column(f"{n}") for n in range(11)))
    other = model_of(
        wide, kind=kind, corruption=corruption, linear=int(kind == "mlp")
    ).state_dict()
    moved = {
        name for name in state.keys() & other.keys() if state[name].shape != other[name].shape
    }
    assert moved <= found.keys() | {"log_variance", "log_spread"}
