"""What an export of a model of samples by features keeps of it."""

from maskwise.columns.model import TabularModel
from maskwise.columns.networks import MLP
from maskwise.exports.graph import without

DECODER = ("decoder", "batch", "numbers", "logits", "linear")


def encoder_of(model: TabularModel) -> TabularModel:
    """Return a model that encodes, and shares its weights: without what predicts."""
    network = model.network
    found = without(model, ("network",))
    if isinstance(network, MLP):
        network = without(network, DECODER)
    found.network = network
    return found
