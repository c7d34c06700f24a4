"""A predictor: an encoder with a head that says classes or numbers of any part of a sample."""

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from maskwise.errors import UserError, option
from maskwise.files import Entries, atomic_folder, read_json, stamp, write_json
from maskwise.modalities import find, meant_by, read_config
from maskwise.modality import Incomplete, Known, Labelled, MaskedModel
from maskwise.model_folder import fingerprint, load_model, save_model, sized
from maskwise.predict import heads, targets
from maskwise.predict.answers import Answers
from maskwise.predict.asked import ModelAsked, visible_shares
from maskwise.predict.fitting import Fitting, judge, known_rows, learn
from maskwise.predict.hiding import positions, without
from maskwise.predict.targets import say, with_few_left_out
from maskwise.predict.tuning import Tuned
from maskwise.settings import to_dict
from maskwise.textio import user_path
from maskwise.train.config import RunSettings

log = logging.getLogger("maskwise")
_ARRAYS, USUAL = "head.safetensors", Fitting()


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """Says classes or numbers of samples of which any part may be there, and how sure it is.

    `Run.predictor` makes one. Data are given as for `Run.embed`: from Python, or as where the
    samples are. What is missing of them is hidden from the encoder: NaN of tables, cells and
    images, columns and genes that lack, gaps of texts, unknown bases; and what `hidden` says.

    Args:
        model: whose encoder is asked.
        config: of its run, which says how data are read.
        head: what is made of its features.
        label: what is predicted is called.
        classes: what its classes are called; None: it predicts numbers.
        law: of what was hidden while it was fitted, or "observed".
        own: positions that hold what is predicted, and are always hidden.
        then: the linear layer that was trained with the encoder; None: that is the run's.
        about: what else is known of it: what was asked for, and how well it does.
    """

    model: MaskedModel
    config: RunSettings
    head: heads.Head
    label: str
    classes: tuple[str, ...] | None
    law: str
    own: tuple[int, ...] = ()
    then: Tuned | None = None
    about: Entries = dataclasses.field(default_factory=dict)

    def predict(self, data: Any, hidden: np.ndarray | None = None) -> np.ndarray:
        """Return the likeliest class of each sample, a text, or what number is expected, [N].

        Args:
            data: samples; those that cannot be read are answered with "" or NaN.
            hidden: what is not there beside what is missing, True = hidden: positions, bool
                [N, L] or [N, *grid], or of images pixels, [N, H, W].

        Raises:
            UserError: data or `hidden` that cannot be used.
        """
        return self.answer(data, hidden).predicted()

    def predict_proba(self, data: Any, hidden: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each class, float64 [N, K]; see `predict`."""
        found = self.answer(data, hidden)
        if found.classes is None:
            raise UserError(f"'{self.label}' is a number, and has no probabilities of classes")
        return found.said

    def predict_set(
        self, data: Any, coverage: float = 0.9, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """Return which classes cover the true one so often, bool [N, K]; see `predict`."""
        return self.answer(data, hidden).sets(coverage)

    def predict_interval(
        self, data: Any, coverage: float = 0.9, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """Return intervals that cover the true number so often, float64 [N, 2]; see `predict`."""
        return self.answer(data, hidden).intervals(coverage)

    def answer(self, data: Any, hidden: np.ndarray | None = None) -> Answers:
        """Return all that is said of samples; see `predict`."""
        found = self.say(self.asked(data, hidden))
        found.tell()
        return found

    def asked(
        self, data: Any, hidden: np.ndarray | None = None, config: RunSettings | None = None
    ) -> ModelAsked:
        """Return samples as the encoder is asked of them; see `predict`.

        Args:
            data: samples; None: those that `config` names.
            hidden: what of them is not there.
            config: how they are read; default: as those of the run.
        """
        return self.asked_of(read(self.model, config or self.config, data, hidden))

    def asked_of(self, data: Incomplete) -> ModelAsked:
        """Return samples that were read as the encoder is asked of them."""
        model = sized(self.model, data.source)
        return ModelAsked(model, without(model, data, self.own), then=self.then)

    def say(self, asked: ModelAsked) -> Answers:
        """Return what is said of samples as they are."""
        rows, data = np.arange(len(asked.there)), asked.data
        nothing = np.zeros_like(asked.there)
        features, shares = asked.features(rows, nothing), visible_shares(asked, rows, nothing)
        if isinstance(self.head, heads.ClassHead):
            said = self.head.probabilities(features, shares)
        else:
            said = self.head.expected(features)
        num = len(rows) + len(data.broken)
        kept = np.setdiff1d(np.arange(num), list(data.broken))
        every, visible = np.full((num, *said.shape[1:]), np.nan), np.full(num, np.nan)
        every[kept], visible[kept] = said, shares
        return Answers(self.head, self.classes, every, visible, data.names, data.broken)

    def save(self, folder: str | Path, *, alone: bool = True) -> None:
        """Write the predictor as a folder of plain values and arrays; what is there is replaced.

        Args:
            folder: config.json, head.safetensors, and model/ with the encoder.
            alone: with the encoder, even where that is the model of the run that the folder is in.

        Raises:
            UserError: it cannot be written.
        """
        arrays = {f"head.{name}": value for name, value in heads.to_arrays(self.head).items()}
        if self.then is not None:
            tuned = {"weight": self.then.weight, "bias": self.then.bias}
            arrays |= {f"then.{name}": value.numpy() for name, value in tuned.items()}
        names = ("label", "classes", "law", "own", "about")
        with atomic_folder(Path(folder), replace=True) as work:
            if alone or self.then is not None:
                save_model(work / "model", self.model)
            plain = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
            save_file(plain, work / _ARRAYS)
            values = {name: getattr(self, name) for name in names}
            known = {"weights": fingerprint(self.model), "config": to_dict(self.config)}
            write_json(work / "config.json", values | known)

    @classmethod
    def load(cls, folder: str | Path, model: MaskedModel | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            folder: that was written.
            model: the encoder, where the folder has none; default: that of the run it is in.

        Raises:
            UserError: files are missing or damaged, or the head is that of another encoder.
        """
        folder = Path(folder)
        values = read_json(folder / "config.json")
        if (folder / "model").is_dir():
            model = load_model(folder / "model")
        elif model is None:
            model = load_model(folder.parent / "model")
        try:
            if values["weights"] != fingerprint(model):
                raise UserError(f"{folder} is a head on other weights than these: make it anew")
            arrays = load_file(folder / _ARRAYS)
            parts = {
                part: {
                    name.removeprefix(f"{part}."): value
                    for name, value in arrays.items()
                    if name.startswith(f"{part}.")
                }
                for part in ("head", "then")
            }
            then = {name: torch.from_numpy(value) for name, value in parts["then"].items()}
            classes = values["classes"]
            return cls(
                model,
                read_config(values["config"]),
                heads.from_arrays(parts["head"]),
                str(values["label"]),
                None if classes is None else tuple(map(str, classes)),
                str(values["law"]),
                tuple(map(int, values["own"])),
                Tuned(model, **then) if then else None,
                dict(values["about"]),
            )
        except (KeyError, TypeError, ValueError, SafetensorError, OSError) as error:
            if isinstance(error, UserError):
                raise
            told = " ".join(str(error).split())[:200]
            raise UserError(f"{folder} is no predictor, or damaged: {told}") from None


def read(
    model: MaskedModel, config: RunSettings, data: Any, hidden: np.ndarray | None = None
) -> Incomplete:
    """Return samples of which parts may be missing.

    Args:
        model: that reads them.
        config: of its run.
        data: as for `Run.embed`; None: those that `config` names.
        hidden: what of them is not there, see `Predictor.predict`.

    Raises:
        UserError: a kind of data that lacks it, data that cannot be read, or another `hidden`.
    """
    given, config = (None, config) if data is None else meant_by(config, data)
    kind = find(config.modality)
    incomplete = kind.needed(kind.incomplete, "predict")
    model, config = kind.suited(model, given, config)
    found = incomplete(model, given, config)
    if hidden is None:
        return found
    wanted = positions(hidden, sized(model, found.source), found)
    return found._replace(hidden=wanted if found.hidden is None else wanted | found.hidden)


def fit(
    model: MaskedModel,
    config: RunSettings,
    labels: Any = None,
    data: Any = None,
    how: Fitting = USUAL,
) -> Predictor:
    """Return a predictor, learned from what training learns from; see `Run.predictor`."""
    given, config = (None, config) if data is None else meant_by(config, data)
    kind = find(config.modality)
    named = labels if isinstance(labels, (str, Path)) else None
    of_file = named is not None and user_path(named).is_file()
    column = None if of_file or named is None else str(named)
    apart = labels is not None and column is None
    known: Known = "apart" if apart else "own" if data is None else "given"
    found = kind.needed(kind.labelled, "predict")(model, given, config, column, known)
    usual = getattr(config.data, "labels", None) if labels is None else None
    label = user_path(str(named)).stem if of_file else str(named or usual or "label")
    wanted = _wanted(found, labels, of_file, how.task, label)
    learned, held = known_rows(wanted, found.held)
    wanted = with_few_left_out(wanted, learned, label)
    learned, held = known_rows(wanted, found.held)
    say(wanted, label, int(learned.sum()))
    reader = sized(model, found.data.source)
    asked = ModelAsked(reader, without(reader, found.data, found.own))
    made = learn(asked.some(learned), wanted.y[learned], len(wanted.classes or ()), how)
    about: Entries = {"learned": int(learned.sum()), **dataclasses.asdict(how)}
    if made.then is not None:
        asked = asked.through(made.then.model, made.then)
    if held.any():
        about["held out"] = judge(asked.some(held), wanted.y[held], made.head)
        [(name, value)] = [each for each in about["held out"].items() if each[0] != "num"]
        log.info("%s: %s %.3f of %d samples held out", label, name, value, held.sum())
    encoder = model if made.then is None else made.then.model
    own = tuple(map(int, found.own))
    return Predictor(
        *(encoder, config, made.head, label, wanted.classes, made.law, own, made.then, about)
    )


def _wanted(
    found: Labelled, labels: Any, of_file: bool, task: targets.Task | None, label: str
) -> targets.Targets:
    """Return what is to be said of the samples that could be read."""
    data, values = found.data, found.values
    num, kept = data.num, data.kept
    if of_file:
        values = targets.read_labels(user_path(labels), data.names, num)[kept]
    elif labels is not None and not isinstance(labels, (str, Path)):
        made = targets.targets(targets.of_samples(labels, num, label), task, label)
        return targets.Targets(made.y[kept], made.classes)
    if values is None:
        raise UserError(f"nothing says what is to be predicted: give {option('labels')}")
    return targets.targets(values, task, label)


def asked_for(labels: Any, data: Any, how: Fitting) -> Entries:
    """Return plain values that say what is to be learned, None where nothing is said.

    Files are known by their size and time, arrays of labels by what they hold. Other data from
    Python are not known again.
    """
    given, usual = dataclasses.asdict(how), dataclasses.asdict(USUAL)
    said = {name: None if value == usual[name] else value for name, value in given.items()}
    made: Any = labels
    if labels is not None and not isinstance(labels, (str, Path)):
        made = hashlib.sha256(repr(np.asarray(labels, dtype=object).tolist()).encode()).hexdigest()
    source = data if data is None or isinstance(data, (str, Path)) else False
    return {"labels": _place(made), "data": _place(source), **said}


def _place(source: Any) -> Any:
    if not isinstance(source, (str, Path)):
        return source
    path = user_path(source)
    return [str(source), *(stamp(path) if path.is_file() else [])]


def fits(about: Entries, wanted: Entries) -> bool:
    """Return whether a predictor is what is asked for, see `asked_for`.

    >>> known = {"labels": ["age"], "law": None}
    >>> fits({"asked": known}, {"labels": None, "law": None}), fits({"asked": known}, {"law": "a"})
    (True, False)
    """
    known = about.get("asked", {})
    if wanted.get("data") is False or (known.get("data") is False and wanted.get("labels")):
        return False
    return all(value in (None, known.get(name)) for name, value in wanted.items())
