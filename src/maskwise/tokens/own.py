"""A module of one's own between the embedding and the head of a language model."""

import inspect

import torch
from torch import Tensor, nn

from maskwise.layers.transformer import gather
from maskwise.layers.trying import require_reads
from maskwise.modality import Entries
from maskwise.tokens.network import BlockNetwork, Layers


def own_parts(network: nn.Module, *known: type[BlockNetwork]) -> Entries:
    """Return what a model's folder says of its network: whether it is none that is known."""
    inner = getattr(network, "network", network)  # of one that reads both strands
    return {} if type(inner) in known else {"own_encoder": True}


class OwnNetwork(BlockNetwork):
    """Token embedding, a module of one's own, and a head whose weights are the embedding's.

    The module turns embedded tokens [B, N, width], without positions, into as many features. One
    whose `forward` has an argument `documents` is handed which document of its row a token is of,
    int64 [B, N], 0 = padding, or None where each row is one. Of any other each document is a call
    of its own, with those of the same length: neither padding nor a neighbour is seen.

    Args:
        num_tokens: V.
        module: made with its weights.
        width: of an embedded token.
        length: tokens in a row.
        num_inputs: as for `BlockNetwork`.

    Raises:
        UserError: a module that does not do that, and what it did.

    Example:
        >>> network = OwnNetwork(20, nn.Linear(8, 8), width=8, length=5)
        >>> network.features(torch.zeros(2, 3, dtype=torch.int64)).shape
        torch.Size([2, 3, 8])
    """

    num_layers = 1

    def __init__(
        self,
        num_tokens: int,
        module: nn.Module,
        width: int,
        length: int,
        num_inputs: int | None = None,
    ) -> None:
        super().__init__(num_tokens, width, (), num_inputs)
        self.module = module  # after the others have their first weights, and with its own
        self.reads_documents = "documents" in inspect.signature(module.forward).parameters
        require_reads(module, torch.zeros(2, length, width), "embedded tokens")

    def outputs(
        self, ids: Tensor, documents: Tensor | None, layers: Layers, wanted: Tensor | None = None
    ) -> list[Tensor]:
        x = self.embed_norm(self.embed(ids))
        if documents is None:
            x = self.module(x)
        elif self.reads_documents:
            x = self.module(x, documents=documents)
        else:
            x = self._one_by_one(x, documents)
        x = self.norm(x if wanted is None else gather(x, wanted))
        return [x] * len(layers)

    def _one_by_one(self, x: Tensor, documents: Tensor) -> Tensor:
        """Return what the module makes of each document by itself; padding stays as it is."""
        before = torch.cat([documents.new_full((len(documents), 1), -1), documents[:, :-1]], dim=1)
        rows, starts = (documents != before).nonzero(as_tuple=True)
        ends = torch.cat([starts[1:], starts.new_zeros(1)])
        lengths = torch.where(ends > starts, ends, documents.shape[1]) - starts
        filled = documents[rows, starts] > 0
        found = x
        for length in lengths[filled].unique().tolist():
            these = filled & (lengths == length)
            at = rows[these, None], starts[these, None] + torch.arange(length, device=x.device)
            found = found.index_put(at, self.module(x[at]).to(x.dtype))
        return found
