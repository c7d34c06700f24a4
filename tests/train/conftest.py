import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maskwise.images.data import ImageDataSettings, load
from maskwise.images.images import ImageSource, describe
from maskwise.images.recipes import ImageRunSettings
from maskwise.modalities import build, find
from maskwise.patches.model import PatchModel, PatchModelSettings
from maskwise.settings import override
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import EfficiencySettings, TrainSettings, connect
from maskwise.train.loop import train
from maskwise.train.monitor import Monitor

TINY = ImageRunSettings(
    data=ImageDataSettings(source="digits", patch=(2, 2), target="normalised"),
    model=PatchModelSettings(
        width=16, depth=1, heads=2, decoder_width=8, decoder_depth=1, decoder_heads=2
    ),
    law="uniform:0.4,0.9",
    train=TrainSettings(steps=6, batch_size=16, lr=2e-3, log_every=1, checkpoint_every=1000),
    efficiency=EfficiencySettings(accelerator="cpu"),
)


class Interrupting:
    """Batches that press Ctrl-C when a step is read."""

    def __init__(self, batches: Batches, step: int) -> None:
        self.batches, self.step = batches, step

    def read(self, *arguments: Any, **more: Any) -> Iterator[Batch]:
        for batch in self.batches.read(*arguments, **more):
            if batch.step == self.step:
                signal.raise_signal(signal.SIGINT)
            yield batch


@pytest.fixture(scope="session")
def digits() -> ImageSource:
    return load(ImageDataSettings(source="digits")).train


@pytest.fixture(scope="session")
def held() -> ImageSource:
    return load(ImageDataSettings(source="digits")).test


@pytest.fixture
def tiny() -> Callable[..., ImageRunSettings]:
    """Give a tiny configuration with dotted changes."""
    return lambda changes=None: override(TINY, changes or {})


@pytest.fixture
def new_model(digits) -> Callable[[ImageRunSettings], PatchModel]:
    def make(config: ImageRunSettings) -> PatchModel:
        modality = describe(digits, config.data.patch, config.data.target)
        return build(modality, config.model, seed=config.seed)

    return make


@pytest.fixture
def run(digits, new_model) -> Callable[..., tuple[PatchModel, dict[str, Any]]]:
    """Train in a folder; `stop_at` presses Ctrl-C in that step, counted from 0.

    What is held out is measured on, if it is given.
    """

    def call(
        folder: Path,
        config: ImageRunSettings,
        resume: bool = False,
        stop_at: int | None = None,
        source: ImageSource | None = None,
        held: ImageSource | None = None,
        **more: Any,
    ) -> tuple[PatchModel, dict[str, Any]]:
        folder.mkdir(exist_ok=True)
        source, model = source or digits, new_model(config)
        batches: Any = Batches(source, batch_size=config.train.batch_size, seed=config.seed)
        if stop_at is not None:
            batches = Interrupting(batches, stop_at)
        fabric = connect(config.efficiency)
        fabric.launch()
        monitor = None if held is None else Monitor(model, source, held, config.diagnose)
        return train(
            fabric,
            model,
            batches,
            config,
            folder,
            augment=find("images").augment(config),
            monitor=monitor,
            resume=resume,
            **more,
        )

    return call
