"""Fill holes inside a scikit-learn pipeline, beside its own imputers; draw them several times.

python examples/imputer_in_a_pipeline.py
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from maskwise.integrations.sklearn import MaskedImputer


def main() -> None:
    X, y = load_diabetes(return_X_y=True, scaled=False)
    hidden = np.random.default_rng(0).random(X.shape) < 0.3
    holes = np.where(hidden, np.nan, X)

    ours = MaskedImputer(random_state=0)
    for imputer in (SimpleImputer(), KNNImputer(), ours):
        filled = imputer.fit_transform(holes)
        error = np.sqrt(np.mean(((filled - X) / X.std(axis=0))[hidden] ** 2))
        found = cross_val_score(make_pipeline(imputer, Ridge()), holes, y, cv=3).mean()
        name = type(imputer).__name__
        print(f"{name:<14} off by {error:.2f} standard deviations, R2 of the target {found:.3f}")

    # Multiple imputation: one fit, several draws.
    ours.set_params(sample_posterior=True)
    draws = [ours.set_params(random_state=seed).transform(holes) for seed in range(5)]
    slopes = [Ridge().fit(draw, y).coef_[2] for draw in draws]
    print(
        f"slope of the body-mass index: {np.mean(slopes):.1f}, {np.std(slopes):.1f} between draws"
    )


if __name__ == "__main__":
    main()
