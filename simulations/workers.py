"""Many runs in processes of their own, so many at a time. Each has its own memory, so that its peak is its own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from simulations.progress import OnProgress, Progress

J = TypeVar("J")
R = TypeVar("R")


class WorkerDied(Exception):
    """A process ended without a word; the text says how."""


@dataclass(slots=True)
class _Running:
    number: int
    process: BaseProcess
    said: Connection


class Workers(Generic[J, R]):
    """`work(job, on_progress)` is a function of a module, and what it takes and returns can be pickled. What it raises
    comes as a result as well: the exception."""

    def __init__(self, work: Callable[[J, OnProgress], R], count: int) -> None:
        self._work = work
        self._count = count
        # Not fork: a child would begin with the parent's memory and threads.
        self._context = multiprocessing.get_context("spawn")

    def results(self, jobs: Sequence[J], progress: Progress) -> Iterator[R | Exception]:
        """One for each job, in the order of the jobs, each as soon as it and all before it are there. Whoever leaves
        the loop early, by Ctrl-C for instance, ends what still runs."""
        done: dict[int, R | Exception] = {}
        waiting = list(enumerate(jobs))[::-1]
        running: list[_Running] = []
        with self._ended(running):
            for number in range(len(jobs)):
                while number not in done:
                    while waiting and len(running) < self._count:
                        running.append(self._started(*waiting.pop()))
                    self._hear(running, done, progress)
                yield done.pop(number)

    def _started(self, number: int, job: J) -> _Running:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(self._work, job, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Running(number, process, ours)

    def _hear(self, running: list[_Running], done: dict[int, R | Exception], progress: Progress) -> None:
        by_pipe = {each.said: each for each in running}
        for pipe in wait(list(by_pipe)):
            each = by_pipe[pipe]  # type: ignore[index]  # wait returns what it was given.
            try:
                said = each.said.recv()
            except EOFError:
                each.process.join()
                said = WorkerDied(f"Its process ended with {each.process.exitcode}, without a result.")
            if isinstance(said, float):
                progress.at(each.number, said)
                continue
            done[each.number] = said
            progress.at(each.number, 1.0)
            each.process.join()
            each.said.close()
            running.remove(each)

    @contextmanager
    def _ended(self, running: list[_Running]) -> Iterator[None]:
        try:
            yield
        finally:
            for each in running:
                each.process.terminate()
            for each in running:
                each.process.join()


def _child(work: Callable[[J, OnProgress], R], job: J, say: Connection) -> None:
    # Ctrl-C reaches every process of a terminal; it is the parent that answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result: R | Exception = work(job, say.send)
    except Exception as error:  # The edge of a process: whatever happened is for the parent to tell.
        result = error
    say.send(result)
