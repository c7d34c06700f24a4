import numpy as np
import pytest

from maskwise import api
from maskwise.errors import UserError


@pytest.mark.parametrize(
    ("labels", "match"), [(None, "needs labels"), (np.zeros(60, int), "needs two classes")]
)
def test_fine_tuning_that_cannot_work_is_refused_before_training(tmp_path, labels, match):
    images = np.zeros((60, 8, 8), np.uint8)
    data = images if labels is None else (images, labels)
    settings = {"evaluate.finetune.seeds": [0], "train.batch_size": 8}
    with pytest.raises(UserError, match=match):
        api.pretrain(data, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
