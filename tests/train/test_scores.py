"""A pattern that asks for scores, which the loop computes and hands over."""

import sys
from dataclasses import dataclass

import pytest
import torch

from maskwise import masks
from maskwise.errors import UserError
from maskwise.files import read_json_lines
from maskwise.masks import Pattern
from maskwise.masks.mask import hide_lowest
from maskwise.train.batches import Batches
from maskwise.train.loop import plan_of, prepare

IDS = torch.arange(3)


@dataclass(frozen=True)
class Lowest(Pattern):
    """Hide what has the lowest scores."""

    needs_scores = True

    def hide(self, ask):
        return hide_lowest(ask.scores, ask.counts, ask.eligible)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(masks.PATTERNS, "lowest", ("lowest", Lowest))


class FirstFeature:
    """Scores positions by the first of the model's features of them."""

    def __init__(self):
        self.calls = 0

    def __call__(self, model, samples):
        assert not torch.is_grad_enabled()
        self.calls += 1
        return model.encode(samples, "none")[..., 0]


@pytest.mark.usefixtures("known")
def test_a_step_hides_what_its_scores_say(digits, tiny, new_model):
    config = tiny({"pattern": "lowest", "law": "fixed:0.5"})
    model, scorer = new_model(config), FirstFeature()
    [batch] = Batches(digits, batch_size=16, seed=0).read(2, 3, 0)
    part = prepare(batch, model, plan_of(config, scorer=scorer), torch.device("cpu"))
    with torch.no_grad():
        scores = scorer(model, batch.samples)
    assert part.mask.num_hidden.tolist() == [8] * 16
    hidden = scores.masked_fill(~part.mask.hidden, -torch.inf).amax(dim=1)
    visible = scores.masked_fill(part.mask.hidden, torch.inf).amin(dim=1)
    assert bool((hidden < visible).all())


@pytest.mark.usefixtures("known")
def test_training_resumes_exactly_with_scores(run, tiny, tmp_path):
    config = tiny({"pattern": "lowest", "train.steps": 4})
    scorer = FirstFeature()
    straight, _ = run(tmp_path / "straight", config, scorer=scorer)
    assert scorer.calls == 4
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, stop_at=1, scorer=scorer)
    resumed, _ = run(tmp_path / "broken", config, resume=True, scorer=scorer)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    scattered, _ = run(tmp_path / "scattered", tiny({"train.steps": 4}), scorer=scorer)
    assert scorer.calls == 8  # nobody asked
    assert not torch.equal(straight.head.weight, scattered.head.weight)
    losses = [row["loss"] for row in read_json_lines(tmp_path / "straight" / "metrics.jsonl")]
    assert len(losses) == 4


@pytest.mark.usefixtures("known")
def test_without_a_scorer_nothing_is_trained(run, tiny, tmp_path):
    with pytest.raises(UserError, match=r"^pattern Lowest\(\) needs scores of .*: give scorer="):
        run(tmp_path / "run", tiny({"pattern": "lowest"}))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (None, "pattern Lowest() needs scores of the positions: give scores="),
        (torch.zeros(3, 5), "scores are [3, 5]: give [3, 4]"),
        (torch.zeros(4), "scores are [4]: give [3, 4]"),
    ],
)
def test_scores_that_do_not_fit(scores, says):
    with pytest.raises(UserError) as error:
        masks.draw(0.5, (2, 2), sample_ids=IDS, seed=0, pattern=Lowest(), scores=scores)
    assert str(error.value) == says


def test_scores_decide():
    scores = torch.tensor([[3.0, 1.0, 2.0, 0.0]]).expand(3, -1)
    mask = masks.draw(0.5, (4,), sample_ids=IDS, seed=0, pattern=Lowest(), scores=scores)
    assert mask.hidden.tolist() == [[False, True, False, True]] * 3
    # Other patterns do not look at them.
    given = masks.draw(0.5, (4,), sample_ids=IDS, seed=0, scores=scores)
    assert torch.equal(given.hidden, masks.draw(0.5, (4,), sample_ids=IDS, seed=0).hidden)


def test_a_step_parses_nothing(digits, tiny, new_model, monkeypatch):
    config = tiny({"regularise.uniformity": "linear:0..1"})
    model, plan = new_model(config), plan_of(config)

    def refuse(text):
        raise AssertionError(text)

    monkeypatch.setattr("maskwise.laws.parse", refuse)
    monkeypatch.setattr(sys.modules["maskwise.masks.draw"], "parse_pattern", refuse)
    [batch] = Batches(digits, batch_size=16, seed=0).read(2, 3, 0)
    part = prepare(batch, model, plan, torch.device("cpu"))
    place = {"sample_ids": batch.ids, "seed": 0, "step": 2, "progress": 2 / 6}
    again = masks.draw(plan.law, (4, 4), pattern=plan.pattern, **place)
    assert torch.equal(part.mask.hidden, again.hidden)
    with pytest.raises(AssertionError):
        masks.draw(config.law, (4, 4), **place)
    monkeypatch.undo()
    texts = masks.draw(config.law, (4, 4), pattern=config.pattern, **place)
    assert torch.equal(texts.hidden, again.hidden)
