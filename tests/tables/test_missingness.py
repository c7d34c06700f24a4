import json

import numpy as np
import pytest

import maskwise as mw
from tests.lazy import lazy

pandas = lazy("pandas")


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = np.array(["x", "y", "z"] * 100, dtype=object)
    frame = pandas.DataFrame({"a": rng.normal(size=300), "b": kinds, "empty": [None] * 300})
    frame["id"] = [f"row {place}" for place in range(300)]
    frame.loc[frame.a > 0.5, "b"] = None
    frame.loc[5, "id"] = None
    return frame


def test_a_frame_and_its_file(frame, tmp_path) -> None:
    found = mw.missingness(frame, drop=("empty",))
    assert [each.name for each in found.columns] == [
        "b",
        "id",
    ]  # texts that are all different, too
    assert found.num_patterns == 3
    assert found.complete_rows == int((frame.b.notna() & frame.id.notna()).sum())
    assert [each.name for each in found.told] == ["b"]
    json.dumps(found.to_dict(), allow_nan=False)
    frame.to_csv(tmp_path / "table.csv", index=False)
    again = mw.missingness(tmp_path / "table.csv", drop=("empty",))
    assert again.to_dict() == found.to_dict()
    assert mw.missingness(frame).columns[1].share == 1.0


def test_a_look_at_a_table_counts_patterns(frame) -> None:
    found = mw.inspect(frame).found
    assert found["patterns of gaps"] == 3
    assert found["rows without a gap"] == 0
    assert "patterns of gaps" not in mw.inspect(frame[["a"]].assign(c=frame.a**2)).found


def test_arrays_without_gaps_and_other_settings() -> None:
    assert mw.missingness(np.ones((4, 3))).columns == []
    with pytest.raises(mw.UserError, match="unknown key 'drp'"):
        mw.missingness(np.ones((4, 3)), drp=("a",))
