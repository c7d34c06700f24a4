"""What `maskwise theory` does; `maskwise.cli` describes it."""

import argparse
from pathlib import Path
from typing import Any

from maskwise.commands import no_settings, only_data, save


def risk(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.theory import risk
    from maskwise.theory.advice import advise, aligned
    from maskwise.theory.figures import risk_figure
    from maskwise.theory.strings import parse_model

    no_settings(overrides)
    model = parse_model(arguments.spectrum, arguments.dim, arguments.noise)
    sizes = arguments.num_samples
    common = {"target_hidden": arguments.target_hidden, **_risk_options(arguments)}
    options = {**common, "masks": arguments.masks}
    rows = [["law", "samples", "risk", "bias", "variance", "irreducible"]]
    totals = {}
    for law in arguments.law:
        found = [risk(model, law, size, **options) for size in sizes]
        totals[law] = [float(one.total) for one in found]
        for size, one in zip(sizes, found, strict=True):
            parts = (one.total, one.bias, one.variance, one.irreducible)
            rows.append([law, f"{size:,}", *(f"{part:.4f}" for part in parts)])
    print(aligned(rows))
    advice = advise(model, num_samples=sizes, **common)
    print(f"\n{advice.sentence}")
    if arguments.out is not None:
        curves = {
            row.num_samples: row.curve for row in advice.rows if row.masks == arguments.masks
        }
        save(risk_figure(curves, totals, model.variance + model.noise), arguments.out)


def advise(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.theory.advice import advise
    from maskwise.theory.figures import advice_figure

    only_data(overrides, "advice has no setting")
    features = _features(arguments.data, overrides, arguments.target)
    advice = advise(
        features.values,
        features.target,
        num_samples=arguments.num_samples,
        **_risk_options(arguments),
    )
    print(advice)
    if arguments.out is not None:
        save(advice_figure(advice), arguments.out)


def graph(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.theory import estimate_mask_graphs
    from maskwise.theory.figures import graph_figure
    from maskwise.theory.graph_curves import LEGEND, LEGEND_OF_CLASSES, as_text

    only_data(overrides, "mask graphs have no setting")
    features = _features(arguments.data, overrides, arguments.labels, classes=True)
    classes = features.labels if features.target is None else features.target
    curve = estimate_mask_graphs(
        features.values,
        classes,
        ratios=arguments.ratios,
        neighbours=arguments.neighbours,
        num_samples=arguments.num_samples,
        num_masks=arguments.num_masks,
        seed=arguments.seed,
    )
    print(f"{as_text(curve, arguments.law)}\n\n{LEGEND}")
    if classes is not None:
        print(LEGEND_OF_CLASSES)
    if arguments.out is not None:
        save(graph_figure({Path(arguments.data).name: curve}, arguments.law), arguments.out)


def _features(
    source: str, overrides: dict[str, Any], target: str | None, classes: bool = False
) -> Any:
    from maskwise.features import read_features
    from maskwise.images.data import ImageData
    from maskwise.settings import override

    changes = {key.removeprefix("data."): value for key, value in overrides.items()}
    data = override(ImageData(source=source), changes)
    features = read_features(data, target, classes=classes)
    num, dim = features.values.shape
    print(f"{source}: {num:,} samples of {dim:,} features: {features.what}\n")
    return features


def _risk_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "test_ratio": arguments.test_ratio,
        "rescale": arguments.rescale,
        "ridge": arguments.ridge,
    }
