"""What an export of a model of texts computes, with the tokenizer beside it."""

from pathlib import Path

from maskwise.exports.graph import Graph
from maskwise.text.hf_models import write_tokenizer_files
from maskwise.text.model import HFNetwork
from maskwise.text.text import Text
from maskwise.tokens.graph import token_graph
from maskwise.tokens.model import LanguageModel

PREPARE = """\
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({length})
tokenizer.enable_padding({pad})
rows = tokenizer.encode_batch(["a text", "another, longer text"])
input_ids = np.array([row.ids for row in rows])
attention_mask = np.array([row.attention_mask for row in rows])"""


def text_graph(model: LanguageModel[Text], folder: Path) -> Graph:
    """Return the mean of the tokens of a text as a graph; write its tokenizer."""
    text, network = model.tokenizer, model.network
    write_tokenizer_files(text, folder)
    most = network.longest if isinstance(network, HFNetwork) else text.longest
    framed = " between the special tokens that the tokenizer puts there" if text.num_frame else ""
    what = f"tokens of a text as tokenizer.json gives them{framed}"
    pad = ""
    if text.pad >= 0:
        what += f", padded with {text.pad}"
        pad = f"pad_id={text.pad}, pad_token={text.tokenizer.id_to_token(text.pad)!r}"
    prepare = PREPARE.format(length=text.length, pad=pad)
    return token_graph(model, most, f"{what}; the model saw rows of {text.length} tokens", prepare)
