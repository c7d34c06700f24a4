import numpy as np
import pytest

from maskwise.exports.formats import write_onnx
from maskwise.integrations import hf
from maskwise.text.graph import text_graph
from maskwise.text.tasks import embed_texts
from tests.peers import peer

TEXTS = ["the cat sat", "a dog", "the mat lay by a dog and ran on"]


@pytest.mark.slow  # transformers is imported, and tracing takes seconds
def test_a_language_model_of_transformers(language_model, tmp_path):
    onnxruntime = peer("onnxruntime")
    model = hf.load(language_model, device="cpu")
    text = model.tokenizer
    write_onnx(text_graph(model, tmp_path), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for num in (1, 3):
        ids = text.tokenize(TEXTS[:num]).ids
        given = {"input_ids": ids.numpy(), "attention_mask": (ids != text.pad).long().numpy()}
        [found] = session.run(None, given)
        np.testing.assert_allclose(found, embed_texts(model, TEXTS[:num]), rtol=1e-4, atol=1e-4)
