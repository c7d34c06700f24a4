"""What `maskwise acquire` and `maskwise attribute` do; see `maskwise.verbs`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from maskwise.arguments import Arg, OneRun, TableOut, Verb, only_data

Labels = Annotated[
    str | None,
    Arg("what is to be predicted, as for predict (default: the run's own)", "COLUMN|FILE"),
]


def acquire(
    run: OneRun,
    data: Annotated[str, Arg("samples of which parts are missing, as for embed", "DATA")],
    *,
    out: TableOut,
    labels: Labels = None,
    cost: Annotated[Path | None, Arg("a table of names and costs (default: 1 each)")] = None,
    budget: Annotated[float | None, Arg("what is asked for together may cost so much")] = None,
    batch: Annotated[int | None, Arg("how much is asked for together (default: 1)")] = None,
    about: Annotated[
        Literal["label", "everything"], Arg("what is to be known (default: the label)")
    ] = "label",
    draws: Annotated[int, Arg("of what is missing")] = 32,
    seed: Annotated[int, Arg("decides the draws")] = 0,
    **settings: Any,
) -> None:
    """Say what to measure next of each sample: what would tell most, for what it costs."""
    from maskwise.outputs import check_table, write_table
    from maskwise.predict.asked import ModelAsked
    from maskwise.predictor import read
    from maskwise.questions import ask, asked_columns, read_costs
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(settings, "asking cannot change")
    check_table(out, "answers")
    costs, found = None if cost is None else read_costs(cost), Run(run)
    config, model = override(found.reading(data), settings), found.model()
    samples = read(model, config, None)
    predictor = found.predictor(labels, model=model) if about == "label" else None
    asked = ModelAsked(model, samples) if predictor is None else predictor.asked_of(samples)
    said = ask(*(predictor, asked), cost=costs, budget=budget, batch=batch, draws=draws, seed=seed)
    write_table(out, asked_columns(said, samples))
    print(f"{out}: what to measure next of {len(said.chosen)} samples, for the {about}")


def attribute(
    run: OneRun,
    data: Annotated[str, Arg("samples, as for embed", "DATA")],
    *,
    out: TableOut,
    labels: Labels = None,
    of: Annotated[
        Literal["probability", "logit"], Arg("what of classes (default: their probability)")
    ] = "probability",
    se: Annotated[float, Arg("standard error, of the change that is explained")] = 0.02,
    max_permutations: Annotated[int, Arg("orders that are drawn at most")] = 2000,
    seed: Annotated[int, Arg("decides the orders")] = 0,
    **settings: Any,
) -> None:
    """Say what the answer to each sample is due to: the Shapley value of each position."""
    from maskwise.outputs import check_table, write_table
    from maskwise.predictor import read
    from maskwise.questions import explain, explained_columns
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(settings, "explaining cannot change")
    check_table(out, "attributions")
    found = Run(run)
    config, model = override(found.reading(data), settings), found.model()
    samples = read(model, config, None)
    predictor = found.predictor(labels, model=model)
    most = max_permutations
    said = explain(
        predictor, predictor.asked_of(samples), of=of, se=se, max_permutations=most, seed=seed
    )
    write_table(out, explained_columns(said, samples))
    print(f"{out}: what answers to {len(said.values)} samples are due to")


VERBS: dict[str, Verb] = {"acquire": acquire, "attribute": attribute}
