"""A run folder: what training leaves behind, and evaluation, reports and predictors read."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwise import words
from maskwise.errors import UserError, option
from maskwise.exports.card import UNKNOWN, Origin
from maskwise.exports.folder import write
from maskwise.files import Entries, read_json, write_json
from maskwise.modalities import Kind, find, meant_by, read_config, reading, taken
from maskwise.modality import EncoderFactory, MaskedModel, Pool
from maskwise.model_folder import describe_model as describe_model
from maskwise.model_folder import load_model as load_model
from maskwise.model_folder import save_model as save_model
from maskwise.model_folder import sized as sized
from maskwise.model_folder import untrained as untrained
from maskwise.outputs import Embedded, spread
from maskwise.predict.acquire import Acquisition
from maskwise.predict.asked import ModelAsked
from maskwise.predict.asking import About
from maskwise.predict.attribute import Attribution, Of
from maskwise.predict.choosing import Costs
from maskwise.predict.fitting import Fitting
from maskwise.predict.targets import Task
from maskwise.predictor import Predictor, asked_for, fit, fits
from maskwise.predictor import read as read_incomplete
from maskwise.questions import ask, explain
from maskwise.report.told import losses, measured
from maskwise.settings import to_dict
from maskwise.textio import user_path
from maskwise.train.checkpoint import read_weights
from maskwise.train.config import RunSettings
from maskwise.train.metrics import read as read_metrics

log = logging.getLogger("maskwise")


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run in its folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (self.path / "config.json").is_file():
            raise UserError(f"{self.path} is not a run folder: it has no config.json")

    @property
    def config(self) -> RunSettings:
        """The resolved configuration."""
        path = self.path / "config.json"
        try:
            return read_config(read_json(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def kind(self) -> Kind:
        """The record of its kind of data."""
        return find(self.config.modality)

    def say(self) -> None:
        """Write what the report calls things, where that is not yet there."""
        if not (self.path / words.NAME).exists():
            write_json(self.path / words.NAME, to_dict(self.kind.words))

    @property
    def metrics(self) -> list[Entries]:
        """The lines of metrics.jsonl."""
        return read_metrics(self.path)

    @property
    def result(self) -> Entries:
        """What result.json holds: training, law, data, reconstruction errors and probes."""
        if not (self.path / "result.json").exists():
            raise self._unfinished("result")
        return read_json(self.path / "result.json")

    def _unfinished(self, what: str) -> UserError:
        way_out = f"continue its training with {option('resume', 'auto')}"
        return UserError(f"{self.path} has no {what} yet: {way_out}")

    @property
    def likelihood(self) -> Entries:
        """What likelihood.json holds: score by number hidden, area, anchor and law."""
        if not (self.path / "likelihood.json").exists():
            raise UserError(f"{self.path} has no likelihood yet: run maskwise likelihood on it")
        return read_json(self.path / "likelihood.json")

    @property
    def report(self) -> Path:
        """The report's path."""
        return self.path / "report.html"

    def require_model(self) -> None:
        """Refuse a run whose training has not ended.

        Raises:
            UserError: it has no model to keep.
        """
        if not (self.path / "model").is_dir():
            raise self._unfinished("model")

    def model(
        self, encoder: EncoderFactory | None = None, size: int | Sequence[int] | None = None
    ) -> MaskedModel:
        """Load the trained model, in eval mode; of a run that was stopped, its newest checkpoint.

        Args:
            encoder: the function that the run was given, if it was given one.
            size: of the samples it reads, where that is not the run's: height and width of images,
                one number for a square; tokens in a row of texts, bases in a window of DNA.

        Raises:
            UserError: there is neither, files are damaged, or the model has no such size.
        """
        model = self._model(encoder)
        if size is None:
            return model
        sides = (size,) if isinstance(size, int) else tuple(size)
        resized = self.kind.needed(self.kind.resized, "read samples of another size")
        return resized(model, sides)

    def _model(self, encoder: EncoderFactory | None) -> MaskedModel:
        described = (self.path / "checkpoint/config.json").is_file()
        found = None
        if described and not (self.path / "model").is_dir():
            found = read_weights(self.path)
        if found is None:
            self.require_model()
            return load_model(self.path / "model", encoder=encoder)
        step, steps = found[0], self.config.train.steps
        log.warning(
            "%s was stopped at step %s of %s: its newest checkpoint is used",
            *(self.path, f"{step:,}", f"{steps:,}"),
        )
        return load_model(self.path / "checkpoint", encoder=encoder, weights=found[1])

    def embed(
        self,
        data: Any,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> np.ndarray:
        """Return features of samples, float32 [N, D]; nothing is hidden.

        Args:
            data: images, as NumPy [N, H, W] or [N, H, W, C], torch [N, C, H, W] or a source; a
                list, array or column of texts, or of sequences of DNA (letters); AnnData; or a
                table. Or where the samples are, as for `pretrain`; a text that is no file is one
                text.
            pool: see `PatchModel.encode`.
            layer: see `PatchModel.encode`.
            encoder: the function that the run was given, if it was given one.
        """
        given, config = meant_by(self.config, data)
        if given is None:
            return self.embed_source(config, pool, layer, encoder).features
        return self.kind.embed(self.model(encoder), given, config, pool, layer)

    def reading(self, source: str, beside: str | None = None) -> RunSettings:
        """Return the settings that say which samples are meant.

        Args:
            source: where they are.
            beside: what they need beside that, as regions of DNA need their genome.
        """
        return reading(self.config, source, beside, self.path)

    def embed_source(
        self,
        config: RunSettings,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> Embedded:
        """Return features of all samples of a source, with their names; see `embed`.

        Those of samples that cannot be read are NaN.

        Args:
            config: which samples, see `reading`.
            pool: see `PatchModel.encode`.
            layer: see `PatchModel.encode`.
            encoder: the function that the run was given, if it was given one.

        Raises:
            UserError: a source without a single sample that can be read.
        """
        model, kind = self.model(encoder), self.kind
        model, config = kind.suited(model, None, config)
        given, names, broken = kind.read(config)
        if broken:
            rows = [f"{names[row] if names else row + 1}: {why}" for row, why in broken.items()]
            few = "; ".join(rows[:3]) + "; ..." * (len(rows) > 3)
            log.warning("%d samples cannot be read and have no features: %s", len(rows), few)
        return spread(kind.embed(model, given, config, pool, layer), names, broken)

    def impute(self, data: Any) -> Any:
        """Return data with missing values filled in: a table, or AnnData with a further layer.

        Args:
            data: a pandas, polars or Arrow table, a mapping of columns or an array, of which a
                copy is returned (see `maskwise.tables.files.fill`); or AnnData, which is
                changed (see `maskwise.integrations.scverse.impute`).

        Raises:
            UserError: a run on other data, or data that its model cannot read.
        """
        impute, config = self.kind.needed(self.kind.impute, "impute"), self.config
        return impute(self.model(), taken(self.kind, data, config), config)

    def export(
        self,
        out: str | Path,
        format: str | None = None,
        *,
        license: str = UNKNOWN,
        encoder: EncoderFactory | None = None,
    ) -> Path:
        """Write its model as other programs read it; see `maskwise.export`."""
        out, done = user_path(out), (self.path / "result.json").exists()
        result = self.result if done else {}
        both = result, words.read(self.path)
        told = to_dict(self.config), result, [*measured(*both), *losses(*both)]
        origin = Origin(self.path.resolve().name, *told, license=license)
        write(self.model(encoder), out, self.kind.exports, format, origin)
        return out

    def predictor(
        self,
        labels: Any = None,
        data: Any = None,
        *,
        task: Task | None = None,
        law: str | None = None,
        pattern: str = "scattered",
        copies: int = 8,
        finetune: bool = False,
        seed: int = 0,
        model: MaskedModel | None = None,
    ) -> Predictor:
        """Return what predicts labels from any part of a sample, and how sure it is.

        A head on the encoder is fitted to copies of labelled samples of which parts are hidden;
        those that training does not learn from are held out, and say how well it does. It is kept
        in the run folder, `predictor`, and found again where it is what is asked for: what is not
        said may be as it is there. One of other weights is never used.

        Args:
            labels: a column of the data, what is known of each sample, [N], or a file of it (see
                `maskwise.predict.targets.read_labels`); default: what the settings of the run
                name, or the data bring along.
            data: labelled samples, from Python or where they are; default: those of the run. Of
                texts and DNA, a file of labelled ones as for probes.
            task: "classes" or "numbers"; default: texts, bools and up to 20 different whole
                numbers are classes.
            law: of the share of a sample that will be hidden, or "observed", as values are missing
                in the data; default: "observed" if some are, else "uniform:0,1".
            pattern: of what will be hidden.
            copies: of each sample, the first as it is.
            finetune: train a copy of the encoder, too.
            seed: of masks and folds.
            model: the model of the run, where it is loaded already.

        Raises:
            UserError: nothing says what to predict, or too little of it is known.

        Example:
            >>> import tempfile
            >>> import maskwise as mw
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     run = mw.pretrain("breast-cancer", out=f"{folder}/run", train={"steps": 2})
            ...     predictor = run.predictor(copies=2)
            >>> predictor.predict_proba({"mean radius": [12.0, None]}).shape
            (2, 2)
        """
        how = Fitting(task, law, pattern, copies, finetune, seed)
        model, folder = model or self.model(), self.path / "predictor"
        wanted = asked_for(labels, data, how)
        if (folder / "config.json").is_file():
            try:
                found = Predictor.load(folder, model)
                if fits(found.about, wanted):
                    log.info(
                        "%s predicts '%s', learned earlier (%s)", *(folder, found.label, found.law)
                    )
                    return found
            except UserError as error:
                log.warning("%s: learned anew", error)
        made = fit(model, self.config, labels, data, how)
        made = dataclasses.replace(made, about=made.about | {"asked": wanted})
        try:
            made.save(folder, alone=False)
        except UserError as error:
            log.warning("%s: what was learned is not kept", error)
        return made

    def acquire(
        self,
        x: Any,
        *,
        cost: Costs = None,
        batch: int | None = None,
        budget: float | None = None,
        about: About = "label",
        predictor: Predictor | None = None,
        hidden: np.ndarray | None = None,
        draws: int = 32,
        seed: int = 0,
    ) -> Acquisition:
        """Return what to measure next of samples: what each missing position would tell.

        Of one position the expected information on the label, or on all else that is missing, in
        nats, and in nats for its cost; the best, or the best set, is chosen. Ask again once its
        value is known.

        Args:
            x: samples of which parts are missing, as for `embed`.
            cost: of each position, above 0, in order or by name; inf = not to be had.
            batch: how many are measured together; default: 1, or what a budget allows.
            budget: what they may cost together.
            about: what is to be known.
            predictor: what says the label; default: `predictor`.
            hidden: what is not there beside what is missing, see `Predictor.predict`.
            draws: of what missing positions may be.
            seed: of these.

        Raises:
            UserError: nothing is missing, or costs, budget or samples that cannot be used.
        """
        if about == "label":
            predictor = predictor or self.predictor()
            asked = predictor.asked(x, hidden)
        else:
            predictor, model = None, self.model()
            found = read_incomplete(model, self.config, x, hidden)
            asked = ModelAsked(sized(model, found.source), found)
        return ask(
            *(predictor, asked), cost=cost, batch=batch, budget=budget, draws=draws, seed=seed
        )

    def attribute(
        self,
        x: Any,
        *,
        of: Of = "probability",
        predictor: Predictor | None = None,
        hidden: np.ndarray | None = None,
        se: float = 0.02,
        max_permutations: int = 2000,
        seed: int = 0,
    ) -> Attribution:
        """Return what the answers to samples are due to: the Shapley value of each position.

        Args:
            x: samples, as for `embed`; what is missing of them did nothing.
            of: classes are answered by a probability, or by its log-odds.
            predictor: what says the label; default: `predictor`.
            hidden: what is not there beside what is missing, see `Predictor.predict`.
            se: with more than 12 positions, the standard error that ends the drawing of orders;
                see `maskwise.predict.attribute.attribute`.
            max_permutations: orders at most.
            seed: of these.

        Raises:
            UserError: nothing is visible, or samples that cannot be used.
        """
        predictor = predictor or self.predictor()
        asked = predictor.asked(x, hidden)
        most = max_permutations
        return explain(predictor, asked, of=of, se=se, max_permutations=most, seed=seed)
