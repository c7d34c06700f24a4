import copy
import gc
import multiprocessing
import os
import pickle
from pathlib import Path

from maskwise.integrations.hf_samples import Sightings


def count_often(sightings: Sightings, num: int) -> None:
    for _ in range(num):
        sightings.count([1, 2, 2, -(2**63)])


def test_all_processes_count_together() -> None:
    sightings = Sightings()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_often, args=(sightings, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    count_often(sightings, 25)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sightings.count([2, 1, -(2**63), 2**63 - 1]) == [200, 100, 100, 0]


def test_the_file_goes_with_its_owner_only() -> None:
    sightings = Sightings()
    folder = Path(sightings._path).parent
    child = os.fork()
    if not child:
        del sightings
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    # Nor with a copy.
    for twin in (copy.deepcopy(sightings), pickle.loads(pickle.dumps(sightings))):
        twin.count([5])
    del twin
    assert sightings.count([5]) == [2]
    del sightings
    assert not folder.exists()
