"""What the verbs of the command line do, for any kind of data.

A function is a verb: its signature says what it takes (`maskwise.arguments`), its docstring what
it does. What only one kind of data can do is in that kind's `verbs`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from maskwise import question_verbs
from maskwise.arguments import Arg, OneRun, Out, TableOut, Verb, only_data, save_picture
from maskwise.errors import UserError
from maskwise.modalities import KINDS, find, kinds

if TYPE_CHECKING:
    from maskwise.modality import Entries
    from maskwise.run import Run

Runs = Annotated[list[Path], Arg(metavar="RUN")]


def pretrain(
    data: Annotated[str, Arg("see `maskwise list`", "RECIPE-OR-DATA")],
    *,
    modality: Annotated[str | None, Arg("what the data are, if not plain", choices=KINDS)] = None,
    regions: Annotated[str | None, Arg("a BED file: the parts of DNA to train on")] = None,
    law: Annotated[str | None, Arg("the law of the mask ratio, such as uniform:0.4,0.9")] = None,
    out: Annotated[Path | None, Arg("the run folder (default: runs/NAME-LAW-SEED)")] = None,
    seed: Annotated[int | None, Arg("decides weights, order and masks (default: 0)")] = None,
    budget: Annotated[
        str | None,
        Arg("time that training may take: 90s, 10m, 2h, none (default: 10m on own data)", "TIME"),
    ] = None,
    log: Annotated[
        str | None, Arg("tell training to tensorboard, wandb, csv, or several of them", "A,B")
    ] = None,
    resume: Annotated[
        Literal["no", "yes", "auto"],
        Arg("continue an interrupted run; auto: if there is one, else begin", "[auto]"),
    ] = "no",
    **settings: Any,
) -> None:
    """Pretrain a model, evaluate it, write a report.

    Any other setting: --KEY VALUE, with the keys of `maskwise list settings`.
    """
    from lightning_fabric.utilities import rank_zero_only

    from maskwise import api

    if regions is not None:
        settings = {"data.regions": regions, **settings}
    run = api.pretrain(
        data,
        law=law,
        out=out,
        seed=seed,
        budget=budget,
        log=log,
        resume="auto" if resume == "auto" else resume == "yes",
        modality=modality,
        **settings,
    )
    rank_zero_only(_summarise)(run)


def inspect(
    data: Annotated[str, Arg("as for pretrain", "RECIPE-OR-DATA")],
    *,
    modality: Annotated[str | None, Arg("what the data are, if not plain", choices=KINDS)] = None,
    regions: Annotated[str | None, Arg("a BED file: the parts of DNA to train on")] = None,
    json: Annotated[bool, Arg("print JSON")] = False,
    out: Out = None,
    **settings: Any,
) -> None:
    """Say what data hold, and all that stands in the way of training; nothing is written.

    Settings: --KEY VALUE, as for pretrain. The status is 2 if anything stands in the way.
    """
    import json as as_json

    from maskwise import api

    if regions is not None:
        settings = {"data.regions": regions, **settings}
    found = api.inspect(data, modality=modality, **settings)
    if json:
        print(as_json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    elif found.found:
        print(found.text())
    if out is not None:
        save_picture(found.figure(data), out)
    found.require(data, settings if modality is None else {"modality": modality, **settings})


def evaluate(runs: Runs, **settings: Any) -> None:
    """Evaluate runs anew, and rewrite their reports.

    Settings: --evaluate.KEY, --diagnose.KEY and --data.KEY, each with a VALUE.
    """
    from maskwise import api

    for path in runs:
        _summarise(api.evaluate(path, **settings))


def _summarise(run: "Run") -> None:
    from maskwise.listing import summary

    print(summary(run))


def likelihood(
    runs: Annotated[list[str], Arg("a run, or a masked language model of transformers", "RUN")],
    *,
    text: Annotated[Path | None, Arg("a text file, for masked language models")] = None,
    length: Annotated[int | None, Arg("tokens of a window of text (default: 128)")] = None,
    untrained: Annotated[bool, Arg("also with random weights (with --text)")] = False,
    num_samples: Annotated[int | None, Arg("test samples (default: 256 images, else 64)")] = None,
    passes: Annotated[int, Arg("masks of a sample")] = 64,
    seed: Annotated[int, Arg("decides samples and masks")] = 0,
    out: Out = None,
    **settings: Any,
) -> None:
    """Measure the likelihood of test samples, or text.

    Settings: --data.KEY VALUE.
    """
    from maskwise import words
    from maskwise.report.curves import likelihood_picture, likelihood_text

    options = {"num_samples": num_samples, "passes": passes, "seed": seed}
    if text is None and (length is not None or untrained):
        raise UserError("--length and --untrained are for language models: give --text FILE too")
    if text is not None and settings:
        raise UserError(f"unknown option '--{next(iter(settings))}'; see --help")
    found = []
    for place in runs:
        if text is None:
            run = _measured(place, options, settings)
            said = likelihood_text(run.likelihood, words.read(run.path))
            print(f"{run.path}\n{said}\nreport: {run.report}")
            found.append((run.path.name, run.likelihood))
            continue
        for label, values in _of_file(place, text, length, untrained, options):
            print(f"{label}\n{likelihood_text(values)}", flush=True)
            found.append((Path(label).name, values))
    if out is not None:
        save_picture(likelihood_picture(found), out)


def _measured(place: str, options: "Entries", settings: "Entries") -> "Run":
    from maskwise.api import measure_likelihood
    from maskwise.files import read_json

    config = Path(place) / "config.json"
    if config.is_file() and "model_type" in read_json(config):
        raise UserError(f"{place} is a model of transformers: give --text FILE too")
    return measure_likelihood(place, **options, **settings)


def _of_file(
    place: str, path: Path, length: int | None, untrained: bool, options: "Entries"
) -> "Iterator[tuple[str, Entries]]":
    """Give what the likelihood of a file is under a model, and under one with random weights."""
    from maskwise import run

    [kind] = [kind for kind in kinds() if kind.likelihood_of_file is not None]
    assert kind.likelihood_of_file is not None
    model = load_of(kind.name, place)
    models = {place: model}
    if untrained:
        models[f"{place}, untrained"] = run.untrained(model, options["seed"])
    for label, each in models.items():
        yield label, kind.likelihood_of_file(each, path, length, **options)


def load_of(modality: str, place: str, of_any: bool = False) -> Any:
    """Load the model of a run of a kind of data, or one of another library.

    Raises:
        UserError: a model of another kind, or what loading raises.
    """
    from maskwise.api import load

    kind = find(modality)
    ours = any(
        (Path(place) / name).exists() for name in ("weights.safetensors", "model", "checkpoint")
    )
    model = load(place) if ours or kind.foreign is None else kind.foreign(place)
    found = find(model.tokenizer.modality).title
    if found != kind.title and not of_any:
        raise UserError(f"{place} is {found}, not {kind.title}")
    return model


def embed(
    run: OneRun,
    data: Annotated[
        str,
        Arg("samples (lines of texts, records of DNA), as for pretrain; or a BED file", "DATA"),
    ],
    *,
    fasta: Annotated[str | None, Arg("where the regions of a BED file are")] = None,
    out: Annotated[Path, Arg("a .npy, .npz, .csv, .tsv or .parquet file; of cells also .h5ad")],
    pool: Literal["mean", "class", "both"] = "mean",
    layer: Annotated[int, Arg("encoder block (default: the last)")] = -1,
    **settings: Any,
) -> None:
    """Write the features of samples, in their order and with their names."""
    from maskwise.outputs import check_place, write_features
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(settings, "embedding cannot change")
    found = Run(run)
    kind, config = found.kind, override(found.reading(data, fasta), settings)
    if out.suffix == ".h5ad":
        if kind.embed_file is None:
            raise UserError("AnnData is for models of cells, and this is none")
        print(kind.embed_file(found.model(), Path(data), out, config, layer))
        return
    check_place(out)
    embedded = found.embed_source(config, pool, layer)
    write_features(out, embedded)
    rows, width = embedded.features.shape
    lost = f", {len(embedded.broken)} of them NaN" if embedded.broken else ""
    print(f"{out}: {rows} x {width}, float32{lost}")


def impute(
    run: OneRun,
    data: Annotated[str, Arg("an .h5ad file, or a table", "DATA")],
    *,
    out: Annotated[Path, Arg("an .h5ad, or a .csv or .parquet file")],
    entries: Annotated[
        Literal["zeros", "all"],
        Arg("of cells: what is replaced (default: zeros, and the rest is kept)"),
    ] = "zeros",
    **settings: Any,
) -> None:
    """Fill in missing values of cells or tables."""
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(settings, "imputing cannot change")
    found = Run(run)
    config = override(found.config, settings)
    if found.kind.impute_file is None:
        raise UserError(f"{run} is a run on {config.modality}: impute cells or tables")
    print(found.kind.impute_file(found.model(), Path(data), out, config, entries))


def predict(
    run: OneRun,
    data: Annotated[str, Arg("samples of which any part may be missing, as for embed", "DATA")],
    *,
    out: TableOut,
    labels: Annotated[
        str | None,
        Arg("a column, or a file of names and labels (default: the run's own)", "COLUMN|FILE"),
    ] = None,
    train: Annotated[
        str | None, Arg("labelled samples to learn from (default: those of the run)", "DATA")
    ] = None,
    task: Annotated[
        Literal["classes", "numbers"] | None, Arg("what labels are (default: as they look)")
    ] = None,
    law: Annotated[
        str | None, Arg("of what will be hidden, or observed (default: as it is missing)")
    ] = None,
    coverage: Annotated[float, Arg("how often sets and intervals hold what is true")] = 0.9,
    finetune: Annotated[bool, Arg("train the encoder, too")] = False,
    hidden: Annotated[Path | None, Arg("a .npy file, bool: what is not there, too")] = None,
    fasta: Annotated[str | None, Arg("where the regions of a BED file are")] = None,
    **settings: Any,
) -> None:
    """Predict labels from whatever is there of samples, a row for each, in their order.

    A head on the encoder is learned if the run has none that fits, and kept in RUN/predictor.
    """
    from maskwise.outputs import check_table, write_table
    from maskwise.predict.answers import check_coverage
    from maskwise.predict.hiding import read_hidden
    from maskwise.predictor import read
    from maskwise.run import Run
    from maskwise.settings import override

    only_data(settings, "predicting cannot change")
    check_table(out, "predictions")
    check_coverage(coverage)
    found, blank = Run(run), None if hidden is None else read_hidden(hidden)
    config, model = override(found.reading(data, fasta), settings), found.model()
    # Before anything is learned, and kept.
    samples = read(model, config, None, blank)
    predictor = found.predictor(labels, train, task=task, law=law, finetune=finetune, model=model)
    answers = predictor.say(predictor.asked_of(samples))
    answers.tell()
    write_table(out, answers.columns(coverage))
    print(f"{out}: {predictor.label} of {len(answers.shares)} samples, {answers.told(coverage)}")


def export(
    run: Annotated[
        str, Arg("a run, its model, or a masked language model of transformers", "RUN")
    ],
    folder: Annotated[Path, Arg("which is new, or empty", "FOLDER")],
    *,
    format: Annotated[str | None, Arg("such as onnx (default, of texts: hf-mlm)", "NAME")] = None,
    license: Annotated[str, Arg("identifier of a licence, for the model's card")] = "unknown",
    push: Annotated[str | None, Arg("also put it on the Hugging Face hub", "USER/NAME")] = None,
    public: Annotated[bool, Arg("there for all to see")] = False,
) -> None:
    """Write a model as other programs read it, with a card."""
    from maskwise import sharing
    from maskwise.exports.hub import place

    there = None if push is None else place(push, private=not public)
    print(f"exported: {sharing.export(run, folder, format, license=license)}")
    if there is not None:
        print(f"pushed: {there.upload(folder)}")


def report(runs: Runs, *, out: Annotated[Path | None, Arg("an .html file")] = None) -> None:
    """Write a run's report, or compare several runs."""
    from maskwise import report
    from maskwise.run import Run

    for path in runs:
        if (path / "config.json").is_file():  # whatever else is wrong, the report says
            Run(path).say()
    print(f"report: {report.write(runs, out)}")


def list_all(what: Literal["settings"] | None = None) -> None:
    """List recipes, laws, patterns and runs, or all settings."""
    from maskwise.listing import everything, settings_table

    print(settings_table() if what else everything(Path("runs")))


def show_mask(
    law: Annotated[str, Arg(metavar="LAW")],
    pattern: Annotated[str, Arg(metavar="PATTERN")] = "scattered",
    *,
    grid: Annotated[str, Arg("positions along each axis")] = "14x14",
    num: Annotated[int, Arg("how many masks")] = 4,
    seed: int = 0,
    out: Out = None,
) -> None:
    """Draw masks in the terminal, and as a PNG."""
    from maskwise import show

    hidden = show.draw_masks(law, pattern, show.parse_grid(grid), num=num, seed=seed)
    if out is not None:
        show.as_png(hidden, out, f"{law}, {pattern}")
    print(show.as_text(hidden))
    if out is not None:
        print(f"picture: {out}")


VERBS: dict[str, Verb] = {
    "pretrain": pretrain,
    "inspect": inspect,
    "evaluate": evaluate,
    "likelihood": likelihood,
    "embed": embed,
    "impute": impute,
    "predict": predict,
    **question_verbs.VERBS,
    "export": export,
    "report": report,
    "list": list_all,
    "show-mask": show_mask,
}
