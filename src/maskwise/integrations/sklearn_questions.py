"""What estimators that answer from any part of a row ask for next, and what answers are due to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from maskwise.columns.asking import RowsAsking
from maskwise.columns.partial import ClassModel, Codes, NumberModel, see
from maskwise.integrations import sklearn_answers as answers
from maskwise.integrations.sklearn_network import table_of
from maskwise.predict.acquire import Acquisition, acquire
from maskwise.predict.asking import ClassifierHead, RegressorHead, Says
from maskwise.predict.attribute import Attribution, Of, attribute
from maskwise.predict.choosing import Costs


@dataclass(frozen=True)
class _Answering:
    """A model of rows as something that classifies or predicts samples with NaN."""

    model: Any
    codes: Codes | None

    def predict_proba(self, samples: np.ndarray) -> np.ndarray:
        found = self.model.probabilities(see(self.model.closed, samples, self.codes))
        return np.asarray(found)

    def predict(self, samples: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.expected(see(self.model.closed, samples, self.codes)))


class Questions:
    """Methods of estimators that answer from any part of a row."""

    state_: dict[str, Any]

    def acquire(
        self,
        X: ArrayLike,
        *,
        cost: Costs = None,
        batch: int | None = None,
        budget: float | None = None,
    ) -> Acquisition:
        """Say what each missing value of rows is expected to tell of the answer, in nats.

        Args:
            X: rows, as in `fit`; NaN = not there.
            cost: of columns, above 0: by name, or [F] in order; inf: not to be had. Default: 1.
            batch: how many values to ask for together; default: 1, or what a budget allows.
            budget: what they may cost together.

        Raises:
            ValueError: a cost that is not above 0, a budget that buys nothing, or no holes.

        See `maskwise.predict.acquire.acquire`, whose result prints as a table.

        >>> from sklearn.datasets import load_iris
        >>> from maskwise.integrations.sklearn import MaskedClassifier
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> model = MaskedClassifier(random_state=0).fit(X, y)
        >>> model.acquire(X[:1].assign(**{"petal length (cm)": np.nan})).best
        ['petal length (cm)']
        """
        asking, head = self._questions(X)
        return acquire(asking, head, cost=cost, batch=batch, budget=budget)

    def attribute(
        self,
        X: ArrayLike,
        *,
        of: Of = "probability",
        se: float = 0.02,
        max_permutations: int = 2000,
    ) -> Attribution:
        """Return the Shapley value of each value of rows for the answer.

        Args:
            X: rows, as in `fit`.
            of: classes are answered by a "probability", or by its log-odds ("logit").
            se: the standard error that ends the drawing of orders, of more than 12 columns.
            max_permutations: orders at most.

        See `maskwise.predict.attribute.attribute`, whose result prints as a table.
        """
        asking, head = self._questions(X)
        classes = getattr(self, "classes_", None)
        return attribute(
            asking,
            head,
            of=of,
            classes=None if classes is None else tuple(map(str, classes)),
            se=se,
            max_permutations=max_permutations,
        )

    def _questions(self, X: ArrayLike) -> tuple[RowsAsking, Says]:
        """Return rows that can be asked, and what answers."""
        check_is_fitted(self)
        table = self.state_["table"]
        samples, _ = answers.samples(table, self._read(X))
        model: ClassModel | NumberModel = answers.model(self.state_)
        names = [each.name for each in table_of({"table": table}).features]
        asking = RowsAsking(model.closed, samples, names or None)
        said = _Answering(model, self._codes())
        if isinstance(model, ClassModel):
            return asking, ClassifierHead(said)
        return asking, RegressorHead(said, float(np.square(model.calibration.scores).mean()))

    def _read(self, X: ArrayLike) -> Any:
        raise NotImplementedError

    def _codes(self) -> Any:
        raise NotImplementedError
