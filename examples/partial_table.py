"""Classify patients of whom only some tests were made, and say how sure that is.

python examples/partial_table.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from maskwise.integrations.sklearn import MaskedClassifier, MaskedRegressor


def main() -> None:
    table = load_breast_cancer(as_frame=True)
    X, y = table.data, table.target_names[table.target]
    train, test, y_train, y_test = train_test_split(X, y, test_size=200, random_state=0)

    # Two hundred patients have a diagnosis; the other rows help to learn how columns depend.
    few = np.sort(np.random.default_rng(0).permutation(len(train))[:200])
    rest = train.drop(train.index[few])
    model = MaskedClassifier(copies=8, random_state=0).fit(train.iloc[few], y_train[few], rest)

    for visible in (1, 3, 10, 30):
        order = np.random.default_rng(1).random(test.shape).argsort(axis=1)
        part = test.where(order < visible)  # each patient has had other tests
        right = (model.predict(part) == y_test).mean()
        sure = model.predict_proba(part).max(axis=1).mean()
        sets = model.predict_set(part, coverage=0.95)
        held = sets[np.arange(200), np.searchsorted(model.classes_, y_test)].mean()
        print(
            f"{visible:2} of 30 columns: {right:.0%} right, {sure:.0%} sure;"
            f" sets of {sets.sum(axis=1).mean():.2f} classes hold the true one in {held:.0%}"
        )

    # A number from the same rows: how large the tumour is, without the columns that say it.
    known = train.drop(columns=[name for name in X if "area" in name or "perimeter" in name])
    area = MaskedRegressor(copies=4, random_state=0).fit(known, train["mean area"])
    patient = known.iloc[[0]].copy()
    for gone in ((), ("mean radius",), tuple(name for name in known if "radius" in name)):
        [[low, high]] = area.predict_interval(patient.assign(**dict.fromkeys(gone, np.nan)))
        true = train["mean area"].iloc[0]
        print(
            f"without {', '.join(gone) or 'nothing'}: {low:.0f} to {high:.0f} (true: {true:.0f})"
        )


if __name__ == "__main__":
    main()
