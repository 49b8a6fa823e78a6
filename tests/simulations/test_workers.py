"""Processes of their own: results in order, what goes wrong told, nothing left running."""

from __future__ import annotations

import os

from simulations.progress import OnProgress, Progress, left
from simulations.workers import WorkerDied, Workers


def _work(job: int, on_progress: OnProgress) -> int:
    on_progress(0.5)
    if job < 0:
        raise ValueError("no job")
    if job == 0:
        os._exit(3)
    return job * 10


def test_results_come_in_the_order_of_their_jobs_and_failures_in_their_place() -> None:
    progress = Progress(["a", "b", "c", "d"])
    results = list(Workers(_work, 2).results([3, -1, 0, 4], progress))
    assert results[0] == 30
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], WorkerDied)
    assert str(results[2]) == "Its process ended with 3, without a result."
    assert results[3] == 40
    assert progress.share == 1.0


def test_whoever_leaves_early_leaves_nothing_running() -> None:
    progress = Progress(["a", "b", "c"])
    results = Workers(_wait_for_ever, 3).results([1, 0, 0], progress)
    assert next(results) == 1
    results.close()  # type: ignore[attr-defined]  # A generator.
    import multiprocessing

    assert multiprocessing.active_children() == []


def _wait_for_ever(job: int, _on_progress: OnProgress) -> int:
    if not job:
        import signal

        signal.pause()
    return job


def test_the_time_left_is_told_in_words() -> None:
    assert left(10, 0) == "unknown time"
    assert left(10, 0.5) == "10 s"
    assert left(600, 0.25) == "30 min"
    assert left(3_600, 0.2) == "4 h 0 min"
