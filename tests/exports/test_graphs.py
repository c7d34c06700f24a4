import json

import numpy as np
import pytest
import torch

from maskwise.exports.formats import write_onnx, write_program
from maskwise.modalities import find
from tests.exports.small_models import MORE, QUICK
from tests.peers import peer


def graph_of(case, folder):
    formats = find(case.model.tokenizer.modality).exports
    return formats["onnx"].args[0](case.model, folder)


@pytest.mark.parametrize("name", [*QUICK, *MORE])
def test_features_from_what_a_user_has(name, tmp_path):
    case = (QUICK | MORE)[name]()
    graph = graph_of(case, tmp_path)
    assert [each.name for each in graph.inputs] == [*case.inputs]
    for num in (7, 1):
        given = [torch.from_numpy(np.ascontiguousarray(each)) for each in case.given(num).values()]
        with torch.no_grad():
            found = graph.module(*given)
        wanted = case.features(num)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)
        for value, each in zip(given, graph.inputs, strict=True):
            assert value.dtype == each.example.dtype
    assert np.nanstd(case.features(7), axis=0).min() > 1e-3


def check(run, case):
    for num in (1, 3, 7):
        found = run(case.given(num))
        np.testing.assert_allclose(found, case.features(num), rtol=1e-4, atol=1e-5)


@pytest.mark.slow  # tracing takes seconds; tables are tested with the verb
@pytest.mark.parametrize("name", [*QUICK, *MORE])
def test_files_give_the_same_features(name, tmp_path):
    onnxruntime = peer("onnxruntime")
    case = (QUICK | MORE)[name]()
    graph = graph_of(case, tmp_path)
    write_onnx(graph, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    check(lambda given: session.run(["features"], given)[0], case)
    told = json.loads((tmp_path / "inputs.json").read_text("utf-8"))
    assert [each["name"] for each in told["inputs"]] == [*case.inputs]
    assert told["outputs"][0]["shape"] == ["batch", case.features(1).shape[1]]
    free = [axis for each in session.get_inputs() for axis in each.shape if isinstance(axis, str)]
    assert set(free) == {
        axis for each in told["inputs"] for axis in each["shape"] if isinstance(axis, str)
    }

    write_program(graph, tmp_path)
    program = torch.export.load(tmp_path / "model.pt2").module()

    def run(given):
        return program(*(torch.from_numpy(np.ascontiguousarray(each)) for each in given.values()))

    with torch.no_grad():
        check(run, case)
