"""What `maskwise theory` does; see `maskwise.verbs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from maskwise.arguments import Arg, Out, Verb, integers, numbers, only_data, save_picture
from maskwise.files import Entries
from maskwise.modalities import read_features

if TYPE_CHECKING:
    from maskwise.modality import Features

LEGEND = """\
gap: 1 - σ₂² of the mask graph, blurred over neighbours; compare it within one table only, and see
  nothing in it where it is close to the unrelated gap, that of shuffled parts"""
LEGEND_OF_CLASSES = """\
disagreement: how often samples with alike hidden parts differ in class; falls with the ratio
class error: how often the class cannot be told from what is visible; rises with the ratio
alignment: correlation of the second singular function with the class"""

Sizes = Annotated[list[int], Arg(metavar="N[,N...]", read=integers)]
Data = Annotated[str, Arg("images, or a table: .csv, .npy or .npz", "DATA")]
TestRatio = Annotated[float, Arg("hidden in testing")]
Rescale = Annotated[bool, Arg("divide by the share left visible")]
Ridge = Annotated[float, Arg("penalty")]


def risk(
    *,
    spectrum: Annotated[str, Arg("such as isotropic, spiked:8,0.5, power_law:1 or ar1:0.7")],
    law: Annotated[list[str], Arg("laws, such as fixed:0.3")],
    num_samples: Sizes,
    dim: Annotated[int, Arg("number of features")] = 400,
    noise: Annotated[float, Arg("beside a signal of variance 1")] = 0.2,
    masks: Literal["static", "fresh"] = "static",
    target_hidden: Annotated[bool, Arg("the target is a feature")] = False,
    test_ratio: TestRatio = 0.0,
    rescale: Rescale = False,
    ridge: Ridge = 0.0,
    out: Out = None,
) -> None:
    """Print the risk of laws, for a given spectrum of the data."""
    from maskwise import theory
    from maskwise.theory.advice import aligned, risk_figure
    from maskwise.theory.models import parse_model

    model = parse_model(spectrum, dim, noise)
    common: Entries = {
        "target_hidden": target_hidden,
        "test_ratio": test_ratio,
        "rescale": rescale,
        "ridge": ridge,
    }
    rows = [["law", "samples", "risk", "bias", "variance", "irreducible"]]
    totals = {}
    for each in law:
        found = [theory.risk(model, each, size, masks=masks, **common) for size in num_samples]
        totals[each] = [float(one.total) for one in found]
        for size, one in zip(num_samples, found, strict=True):
            parts = (one.total, one.bias, one.variance, one.irreducible)
            rows.append([each, f"{size:,}", *(f"{part:.4f}" for part in parts)])
    print(aligned(rows))
    advice = theory.advise(model, num_samples=num_samples, **common)
    print(f"\n{advice.sentence}")
    if out is not None:
        curves = {row.num_samples: row.curve for row in advice.rows if row.masks == masks}
        save_picture(risk_figure(curves, totals, model.variance + model.noise), out)


def advise(
    data: Data,
    *,
    target: Annotated[
        str | None, Arg("what is predicted (default: all in turn)", "COLUMN")
    ] = None,
    num_samples: Annotated[list[int] | None, Arg(metavar="N[,N...]", read=integers)] = None,
    test_ratio: TestRatio = 0.0,
    rescale: Rescale = False,
    ridge: Ridge = 0.0,
    out: Out = None,
    **settings: Any,
) -> None:
    """Print the best ratio for the spectrum of your data.

    Settings: --data.KEY VALUE.
    """
    from maskwise import theory
    from maskwise.theory.advice import advice_figure

    only_data(settings, "advice has no setting")
    features = _features(data, settings, target)
    advice = theory.advise(
        features.values,
        features.target,
        num_samples=num_samples,
        test_ratio=test_ratio,
        rescale=rescale,
        ridge=ridge,
    )
    print(advice)
    if out is not None:
        save_picture(advice_figure(advice), out)


def graph(
    data: Data,
    *,
    labels: Annotated[
        str | None, Arg("classes in a table (images bring their own)", "COLUMN")
    ] = None,
    law: Annotated[list[str], Arg("laws to compare, such as fixed:0.75")] = [],  # noqa: B006
    ratios: Annotated[
        list[float] | None, Arg("to look at (default: up to 15)", "R[,R...]", numbers)
    ] = None,
    neighbours: Annotated[float, Arg("samples that a node joins")] = 10.0,
    num_samples: Annotated[int, Arg("samples used")] = 500,
    num_masks: Annotated[int, Arg("of each ratio")] = 4,
    seed: Annotated[int, Arg("decides samples and masks")] = 0,
    out: Out = None,
    **settings: Any,
) -> None:
    """Print what masks of each ratio make alike in your data.

    Settings: --data.KEY VALUE.
    """
    from maskwise.theory import estimate_mask_graphs
    from maskwise.theory.graphs import as_text, graph_figure

    only_data(settings, "mask graphs have no setting")
    features = _features(data, settings, labels, classes=True)
    classes = features.labels if features.target is None else features.target
    curve = estimate_mask_graphs(
        features.values,
        classes,
        ratios=ratios,
        neighbours=neighbours,
        num_samples=num_samples,
        num_masks=num_masks,
        seed=seed,
    )
    print(f"{as_text(curve, law)}\n\n{LEGEND}")
    if classes is not None:
        print(LEGEND_OF_CLASSES)
    if out is not None:
        save_picture(graph_figure({Path(data).name: curve}, law), out)


def _features(
    source: str, settings: Entries, target: str | None, classes: bool = False
) -> "Features":
    """Return samples by features, from whichever kind of data can read the source."""
    changes = {key.removeprefix("data."): value for key, value in settings.items()}
    features = read_features(source, changes, target, classes=classes)
    num, dim = features.values.shape
    print(f"{source}: {num:,} samples of {dim:,} features: {features.what}\n")
    return features


VERBS: dict[str, Verb] = {"risk": risk, "advise": advise, "graph": graph}
