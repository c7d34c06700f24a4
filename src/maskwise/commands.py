"""What the verbs of the command line do; `maskwise.cli` describes them."""

import argparse
from pathlib import Path
from typing import Any

from maskwise.errors import UserError


def pretrain(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from lightning_fabric.utilities import rank_zero_only

    from maskwise.api import pretrain

    if arguments.regions is not None:
        overrides = {"data.regions": arguments.regions, **overrides}
    run = pretrain(
        arguments.data,
        law=arguments.law,
        out=arguments.out,
        seed=arguments.seed,
        resume=arguments.resume,
        modality=arguments.modality,
        **overrides,
    )
    rank_zero_only(_summarise)(run)


def evaluate(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.api import evaluate

    for path in arguments.runs:
        _summarise(evaluate(path, **overrides))


def _summarise(run: Any) -> None:
    from maskwise.summary import as_text

    print(as_text(run))


def likelihood(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.report.likelihood import picture

    found = _of_text(arguments, overrides) if arguments.text else _of_runs(arguments, overrides)
    if arguments.out is not None:
        save(picture(found), arguments.out)


def _of_runs(
    arguments: argparse.Namespace, overrides: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    from maskwise.api import measure_likelihood
    from maskwise.files import read_json
    from maskwise.report.likelihood import as_text

    if arguments.length is not None or arguments.untrained:
        raise UserError("--length and --untrained are for language models: give --text FILE too")
    found = []
    for path in arguments.runs:
        config = Path(path) / "config.json"
        if config.is_file() and "model_type" in read_json(config):
            raise UserError(f"{path} is a model of transformers: give --text FILE too")
        run = measure_likelihood(
            path,
            num_samples=arguments.num_samples,
            passes=arguments.passes,
            seed=arguments.seed,
            **overrides,
        )
        found.append((run.path.name, run.likelihood))
        print(f"{run.path}\n{as_text(run.likelihood)}\nreport: {run.report}")
    return found


def _of_text(
    arguments: argparse.Namespace, overrides: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    from maskwise.report.likelihood import as_text
    from maskwise.storage import untrained
    from maskwise.tokens.likelihoods import measure_text, read_text

    no_settings(overrides)
    text, name = read_text(arguments.text)
    found = []
    for place in arguments.runs:
        model = _language_model(place)
        models = {place: model}
        if arguments.untrained:
            models[f"{place}, untrained"] = untrained(model, arguments.seed)
        for label, each in models.items():
            values = measure_text(
                each,
                text,
                name,
                length=arguments.length,
                num_samples=64 if arguments.num_samples is None else arguments.num_samples,
                passes=arguments.passes,
                seed=arguments.seed,
            )
            print(f"{label}\n{as_text(values)}", flush=True)
            found.append((Path(label).name, values))
    return found


def _language_model(place: str) -> Any:
    """Load the model of a run on texts, or one of transformers."""
    from maskwise.api import load
    from maskwise.integrations import hf

    ours = any((Path(place) / name).exists() for name in ("weights.safetensors", "model"))
    return _checked(load(place) if ours else hf.load(place), place, "a language model")


def _checked(model: Any, place: str | Path, wanted: str) -> Any:
    """Return a model that is what a command needs, and refuse others."""
    from maskwise.dna.dna import DNA
    from maskwise.images.images import Images
    from maskwise.text.text import Text

    kind = {Text: "a language model", DNA: "a model of DNA", Images: "a model of images"}
    found = kind.get(type(model.modality), "a model of features")
    if found != wanted:
        raise UserError(f"{place} is {found}, not {wanted}")
    return model


def export(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.api import load
    from maskwise.integrations import hf

    no_settings(overrides)
    model: Any = load(arguments.run)
    print(f"model of transformers: {hf.export(model, arguments.folder)}")


def embed(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    import numpy as np

    from maskwise.files import atomic
    from maskwise.run import Run
    from maskwise.settings import override

    if arguments.out.suffix not in (".npy", ".h5ad"):
        raise UserError(f"{arguments.out}: embeddings are written as .npy, of cells also as .h5ad")
    only_data(overrides, "embedding cannot change")
    run = Run(arguments.run)
    kind, source = run.kind, {"data.source": arguments.data}
    if kind.source_settings is not None:
        source = kind.source_settings(arguments.data, arguments.fasta)
    elif arguments.fasta is not None:
        raise UserError(f"--fasta is for models of DNA, but {arguments.run} is none")
    config = override(run.config, {**source, **overrides})
    if arguments.out.suffix == ".h5ad":
        if kind.embed_file is None:
            raise UserError("AnnData is for models of cells, and this is none")
        source_path = Path(arguments.data)
        print(kind.embed_file(run.model(), source_path, arguments.out, config, arguments.layer))
        return
    samples = kind.read(config)
    features = kind.embed(run.model(), samples, config, arguments.pool, arguments.layer)
    with atomic(arguments.out) as temporary, temporary.open("wb") as file:
        np.save(file, features)
    print(f"{arguments.out}: {features.shape[0]} x {features.shape[1]}, float32")


def impute(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(overrides, "imputing cannot change")
    run, source, out = Run(arguments.run), Path(arguments.data), arguments.out
    config = override(run.config, overrides)
    if run.kind.impute_file is None:
        raise UserError(f"{run.path} is a run on {config.modality}: impute cells or tables")
    print(run.kind.impute_file(run.model(), source, out, config, arguments.entries))


def variants(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.api import load
    from maskwise.dna.fasta import open_genome
    from maskwise.dna.variant_tables import check_columns, effects_of_file, score_file

    no_settings(overrides)
    if arguments.group is not None and arguments.effect is None:
        raise UserError("--group is for measured effects: give --effect COLUMN too")
    check_columns(arguments.variants, arguments.effect, arguments.group)
    model = _checked(load(arguments.run), arguments.run, "a model of DNA")
    genome = open_genome(arguments.fasta)
    found = score_file(model, genome, arguments.variants, arguments.out)
    print(f"{arguments.out}: {sum(found.counts.values()):,} variants")
    for status, num in found.counts.items():
        print(f"{num:10,}  {status}")
    if len(found.scores):
        _print_scores(found.scores)
    if arguments.effect is not None:
        window = model.modality.window
        rows = effects_of_file(arguments.out, genome, window, arguments.effect, arguments.group)
        _print_effects(rows)


def _print_scores(scores: Any) -> None:
    import numpy as np

    low, middle, high = np.quantile(scores, [0.05, 0.5, 0.95])
    print(
        f"log p(alt) - log p(ref), nats: mean {scores.mean():.3f}, median {middle:.3f}, from"
        f" {low:.3f} (5%) to {high:.3f} (95%)"
    )


def _print_effects(rows: list[dict[str, Any]]) -> None:
    from maskwise.theory.advice import aligned

    table = [["group", "predictor", "variants", "Spearman, 95%", "AUROC of size, 95%"]]
    for row in rows:
        cells = [
            f"{row[what]:.3f} [{row[f'{what}_low']:.3f}, {row[f'{what}_high']:.3f}]"
            for what in ("spearman", "auroc")
        ]
        table.append([row["group"], row["predictor"], f"{row['num']:,}", *cells])
    print(aligned(table))


def fill(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.text.completion import complete

    no_settings(overrides)
    found = complete(_language_model(arguments.run), arguments.text, arguments.num)
    print(found.text)
    for place, gap in enumerate(found.alternatives, start=1):
        # Quotes show whether a token begins a word, with the space in front of it.
        tokens = ", ".join(f"{each.token!r} {each.probability:.1%}" for each in gap)
        print(f"gap {place}: {tokens}")


def report(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise import report

    no_settings(overrides)
    print(f"report: {report.write(arguments.runs, arguments.out)}")


def list_all(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise.listing import everything, settings_table

    no_settings(overrides)
    print(settings_table() if arguments.what else everything(Path("runs")))


def show_mask(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from maskwise import show

    no_settings(overrides)
    hidden = show.draw_masks(
        arguments.law,
        arguments.pattern,
        show.parse_grid(arguments.grid),
        num=arguments.num,
        seed=arguments.seed,
    )
    if arguments.out is not None:
        show.as_png(hidden, arguments.out, f"{arguments.law}, {arguments.pattern}")
    print(show.as_text(hidden))
    if arguments.out is not None:
        print(f"picture: {arguments.out}")


def save(figure: Any, path: Path) -> None:
    """Write a picture, and say where."""
    from maskwise.files import write_png

    write_png(path, figure)
    print(f"picture: {path}")


def only_data(overrides: dict[str, Any], refusal: str) -> None:
    """Refuse settings of anything but the data."""
    for key in overrides:
        if not key.startswith("data."):
            raise UserError(f"{refusal} '{key}': give data.* keys")


def no_settings(overrides: dict[str, Any]) -> None:
    """Refuse all settings."""
    if overrides:
        raise UserError(f"unknown option '--{next(iter(overrides))}'; see --help")
