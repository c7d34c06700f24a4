"""Language models for rows of another length than they were trained on."""

import logging
from dataclasses import replace

import torch

from maskwise.errors import UserError
from maskwise.layers.resize import resize_positions
from maskwise.text.model import HFNetwork
from maskwise.text.text import Text, reason_of
from maskwise.tokens.model import LanguageModel

log = logging.getLogger("maskwise")


def with_rows(model: LanguageModel[Text], size: tuple[int, ...]) -> LanguageModel[Text]:
    """Return a model for rows of another length, and say so; of the same, the model itself.

    Our networks turn queries and keys by their places, so that any length can be read; weights are
    shared. Learned positions of a model of transformers are extended, see `extend_positions`.

    Args:
        model: of texts.
        size: tokens in a row, special ones included; what stands in front is not used.

    Raises:
        UserError: a length that holds no token, or that the model cannot take.
    """
    text, length = model.tokenizer, size[-1]
    if length == text.length:
        return model
    network = model.network
    longest = network.longest if isinstance(network, HFNetwork) else None
    if longest is not None and length > longest:
        assert isinstance(network, HFNetwork)
        made = extend_positions(network, length)
        longer = replace(text, longest=length).with_length(length)
        return LanguageModel(longer, model.config, network=made).train(model.training)
    found = model.reading(text.with_length(length))
    log.warning(
        "rows of %d tokens, and the model's had %d%s",
        *(length, text.length),
        ": it was not trained on distances beyond those" if length > text.length else "",
    )
    return found


def extend_positions(network: HFNetwork, length: int) -> HFNetwork:
    """Return a network with positions for longer rows, interpolated from those that it learned.

    It says so: until it is trained further it reads short rows worse than before, since all places
    have moved. Repeating the table would keep those, and take two places of a row for the same.

    Args:
        network: of transformers, with a table of positions or a limit of its own.
        length: tokens in a row.

    Raises:
        UserError: nothing in its configuration says how many positions there are, or it has other
            weights that depend on them.
    """
    longest, config = network.longest, network.config
    limit = config.get("max_position_embeddings")
    kind = config["model_type"]
    if longest is None or not isinstance(limit, int):
        raise UserError(f"a model of type {kind} has no table of positions to make longer")
    values = dict(network.model.state_dict())
    try:
        with torch.random.fork_rng(devices=[]):
            made = type(network).from_config(
                config | {"max_position_embeddings": length + limit - longest}
            )
        tables = made.position_tables()
        for name, (weight, first) in network.position_tables().items():
            old, new = len(weight) - first, len(tables[name][0]) - first
            moved = resize_positions(weight[None, first:].detach(), (old,), (new,))[0]
            values[name] = torch.cat([weight[:first].detach(), moved])
        made.model.load_state_dict(values)
    except Exception as error:  # whatever models raise that cannot
        raise UserError(
            f"a model of type {kind} cannot be made to read {length} tokens ({reason_of(error)}):"
            f" it takes {longest}"
        ) from None
    how = "interpolated" if tables else "computed"
    log.warning(
        "rows of %d tokens, and the model takes %d: positions beyond are %s, and it was not"
        " trained on them",
        *(length, longest, how),
    )
    device = next(network.parameters()).device
    return made.to(device).train(network.training)
