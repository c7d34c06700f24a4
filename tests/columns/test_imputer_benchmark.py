"""The benchmark of imputers: its tables are what it says, and it prints all imputers."""

import numpy as np
import pytest

from benchmarks import imputer
from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
from tests.lazy import lazy

impute = lazy("sklearn.impute")


@pytest.mark.parametrize("kind", imputer.KINDS)
def test_tables_have_columns_that_tell_of_each_other(kind):
    values = imputer.table(kind, 400, 9, seed=0)
    assert values.shape == (400, 9)
    assert np.array_equal(values, imputer.table(kind, 400, 9, seed=0))
    holes = imputer.hide(values, seed=0)
    assert abs(np.isnan(holes).mean() - imputer.HIDDEN) < 0.03
    assert imputer.r2(values, holes, impute.SimpleImputer().fit_transform(holes)) == pytest.approx(
        0
    )


def test_it_prints_seconds_and_errors(capsys):
    small = MaskedImputer(MaskedAutoencoder(width=8, depth=1, steps=5), random_state=0)
    imputers = {
        "MaskedImputer": small,
        "neighbours": impute.SimpleImputer(),
        "mean": impute.SimpleImputer(),
    }
    imputer.compare("curved", 100, 5, 0, imputers)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == list(imputers)
    assert lines[2].endswith("R2 0.0000")
