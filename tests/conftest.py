import torch
from hypothesis import settings

# One thread: the suite shares its cores, and small tensors gain nothing from more.
torch.set_num_threads(1)

# The same examples on every run and machine, and no clock.
settings.register_profile(
    "maskwise", deadline=None, derandomize=True, database=None, max_examples=60
)
settings.load_profile("maskwise")
