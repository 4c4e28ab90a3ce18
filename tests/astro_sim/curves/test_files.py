"""Locks: one holder at a time, whoever comes and goes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from astro_sim.curves.files import locked


def test_one_holder_at_a_time(tmp_path):
    """Also where some wait for a lock file that its holder removes while others make it anew."""
    inside, most = [], []

    def enter(k):
        for _ in range(30):
            with locked(tmp_path / "lock"):
                inside.append(k)
                most.append(len(inside))
                time.sleep(1e-4)
                inside.remove(k)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, range(6)))
    assert most == [1] * 180 and list(tmp_path.iterdir()) == []


def test_who_does_not_wait_is_told(tmp_path):
    with locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
            pass
        assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock", wait=False):
        pass
