"""Dates as numbers of days: read in any spelling, filled, written as their column spells them."""

import datetime

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
from maskwise.tables.column import learn
from maskwise.tables.dates import days_of, times_of, written
from maskwise.tables.files import fill_file, read_table
from maskwise.tables.table import Table
from tests.columns.small_samples import make_model
from tests.lazy import lazy

pandas = lazy("pandas")
polars = lazy("polars")
pyarrow = lazy("pyarrow")
NOON = np.array(["2024-02-29T12:31:44.123456"], dtype="datetime64[us]")


def texts(*values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (texts("1970-01-02", None, "1970/01/11"), [1, np.nan, 10]),
        (texts("1970-01-01 06:00", "1970-01-01T12:00:00", " 1969-12-31"), [0.25, 0.5, -1]),
        (texts("1970-01-01T00:00Z", "1970-01-01T02:00:00.000+02:00"), [0, 0]),
        (texts("2024-02-29", "2024-02-30"), None),  # no such day
        (texts("2024-02-29", "soon"), None),
        (texts("2024", "20240229", "29.02.2024"), None),
        (texts(None, None), None),
        (texts(True, "2024-02-29"), None),
        (np.array([20240229, 20240301]), None),
        (np.array(["1970-01-03", "NaT"], dtype="datetime64[D]"), [2, np.nan]),
        (np.array(["1969-12-31T12", "NaT"], dtype="datetime64[ns]"), [-0.5, np.nan]),
        (np.array([5], dtype="timedelta64[D]"), None),
    ],
)
def test_what_is_a_column_of_dates(values, days):
    found = days_of(values)
    if days is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, days)
        assert np.isnat(times_of(found)).tolist() == np.isnan(days).tolist()


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("2024-01-31", "2024-03-01"),  # the nearest day
        ("2024/01/31", "2024/03/01"),
        ("2024-01-31 10:20", "2024-02-29 12:32"),
        ("2024-01-31T10:20:30", "2024-02-29T12:31:44"),
        ("2024-01-31T10:20:30.5", "2024-02-29T12:31:44.1"),
        ("2024-01-31T10:20:30,123456789", "2024-02-29T12:31:44,123456000"),
        ("2024-01-31 10:20Z", "2024-02-29 12:32Z"),
        ("2024-01-31 10:20+02:00", "2024-02-29 14:32+02:00"),
        ("2024-01-31T00:00:00-05:00", "2024-02-29T00:00:00-05:00"),  # whole days where it is
        (" 2024-01-31", " 2024-03-01"),
    ],
)
def test_dates_are_spelled_as_most_of_their_column(like, expected):
    column = texts(like, None, like, "2019-12-31T11:11:11.111" if "10:20" in like else like)
    assert written(NOON, column) == [expected]


def test_times_keep_what_their_column_is_whole_in():
    for times, expected in (
        (["2024-01-01", "NaT"], datetime.datetime(2024, 3, 1)),
        (["2024-01-01T05", "NaT"], datetime.datetime(2024, 2, 29, 13)),
        (["2024-01-01T05:01", "2024-01-01"], datetime.datetime(2024, 2, 29, 12, 32)),
        (["2024-01-01T05:01:07"], datetime.datetime(2024, 2, 29, 12, 31, 44)),
        (["2024-01-01T05:01:07.5"], NOON[0].item()),
    ):
        assert written(NOON, np.array(times, dtype="datetime64[us]")) == [expected]


def test_dates_are_learned_as_days():
    values = texts("2024-01-01", "2024-01-05", None, "2024-01-09")
    column = learn("day", values, dates=True)
    assert (column.kind, column.date, column.limits) == ("number", True, (19723.0, 19731.0))
    samples, _ = column.encode(values)
    np.testing.assert_allclose(samples * column.std, [-4, 0, np.nan, 4], atol=1e-6)
    found = column.decode(np.append(samples, 99), round=True, clip=True)
    assert [str(time)[:10] for time in found] == [
        *("2024-01-01", "2024-01-05", "NaT", "2024-01-09", "2024-01-09")
    ]
    times = np.array(["2024-01-05", "NaT"], dtype="datetime64[s]")
    np.testing.assert_array_equal(column.encode(times)[0].round(6), [0, np.nan])
    with pytest.raises(UserError, match="column 'day': 'x' in data row 2 is no date such as"):
        column.encode(texts("2024-01-01", "x"))
    with pytest.raises(UserError, match="column 'day': '7' in data row 1 is no date such as"):
        column.encode(np.array([7, 8]))
    assert np.isnan(column.encode(np.array([np.nan]))[0]).all()
    for other, kind in ((values, "apart"), (texts("2024-01-01", None), "constant")):
        assert learn("day", other).kind == kind
    same = learn("day", texts("2024-01-01", None), dates=True)
    assert (same.kind, str(same.decode(np.zeros(1))[0])[:10]) == ("constant", "2024-01-01")
    assert learn("day", values, categorical=True, dates=True).categories == (
        *("2024-01-01", "2024-01-05", "2024-01-09"),
    )


def test_a_file_of_dates(tmp_path):
    rows = [f"2024-02-{1 + n:02},{n}.5" for n in range(28)]
    rows[3], rows[4] = ",3.5", "2024-02-05,"
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("\n".join(["day,a", *rows]) + "\n")
    model = make_model(Table.learn(read_table(source), dates=True))
    assert fill_file(model, source, out) == {"day": 1, "a": 1}
    lines = out.read_text().splitlines()[1:]
    assert lines[:3] + lines[5:] == rows[:3] + rows[5:]
    assert datetime.date(2024, 2, 1) <= datetime.date.fromisoformat(lines[3][:10])
    assert lines[3].endswith(",3.5")
    assert lines[4].startswith("2024-02-05,")


NETWORK = MaskedAutoencoder(width=16, depth=1, code=3, linear=4, steps=150, batch_size=32, lr=5e-3)


@pytest.mark.parametrize("given", ["days", "texts", "zone", "polars", "date32"])
def test_an_imputer_fills_dates_from_what_goes_with_them(given):
    days = pandas.Series(pandas.date_range("2024-01-01", periods=120))
    column = {"texts": days.dt.strftime("%Y-%m-%d"), "zone": days.dt.tz_localize("Asia/Tokyo")}
    frame = pandas.DataFrame({"day": column.get(given, days), "a": np.arange(120) + 0.5})
    gaps = np.arange(120) % 9 == 4
    frame.loc[gaps, "day"] = None
    if given in ("polars", "date32"):
        frame = polars.from_pandas(frame)
        if given == "date32":
            frame = frame.with_columns(polars.col("day").cast(polars.Date))
    found = MaskedImputer(NETWORK, dates="number", random_state=0).fit_transform(frame)
    assert list(found.dtypes) == list(frame.dtypes)
    found = pandas.Series([str(day)[:10] for day in found["day"]])
    assert (found[~gaps] == days.dt.strftime("%Y-%m-%d")[~gaps]).all()
    off = (pandas.to_datetime(found) - days).abs()[gaps]
    assert off.max() <= pandas.Timedelta("8D")  # of 120
    network = MaskedAutoencoder(dates="number", **{"width": 8, "steps": 2})
    kinds = network.fit(frame).state_["table"]["columns"]
    assert [each["kind"] for each in kinds] == ["number", "number"]
    with pytest.raises(ValueError, match="dates 'yes' is neither 'keep' nor 'number'"):
        MaskedImputer(NETWORK, dates="yes").fit(frame)
