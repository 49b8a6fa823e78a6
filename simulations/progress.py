"""How far long runs are: moving bars with the time left on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

OnProgress: TypeAlias = Callable[[float], None]
"""Called with the share that is done, 0 to 1, which never falls."""
SILENCE_S: Final = 10.0
"""Without a terminal, a run is spoken of this often at most."""


class Progress:
    """Runs by number, each with its share. `total` is the line over all of them, where there is more than one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._shares = [0.0] * len(names)

    def at(self, number: int, share: float) -> None:
        """That run has come so far."""
        self._shares[number] = max(self._shares[number], min(share, 1.0))

    @property
    def share(self) -> float:
        return sum(self._shares) / len(self._shares)


class _Lines(Progress):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self._began = self._spoke = time.monotonic()

    def at(self, number: int, share: float) -> None:
        finished = share >= 1.0 > self._shares[number]
        super().at(number, share)
        now = time.monotonic()
        if not finished and now - self._spoke < SILENCE_S:
            return
        self._spoke = now
        text = f"{self._names[number]}: {'done' if finished else f'{share:.0%}'}"
        if self.share < 1:
            text += f", all {self.share:.0%}" if len(self._names) > 1 else ""
            text += f", {left(now - self._began, self.share)} left"
        print(text, file=sys.stderr, flush=True)


def left(passed_s: float, share: float) -> str:
    """The time that is left when so much took so long, in words."""
    if share <= 0:
        return "unknown time"
    seconds = round(passed_s * (1 - share) / share)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3_600 else f"{seconds // 3_600} h {seconds % 3_600 // 60} min"


@contextmanager
def progress(names: Sequence[str]) -> Iterator[Progress]:
    """Bars on a terminal that can draw, lines elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        yield _Lines(names)
        return
    from rich import progress as drawn
    from rich.console import Console

    columns = (
        drawn.TextColumn("{task.description}"),
        drawn.BarColumn(),
        drawn.TaskProgressColumn(),
        drawn.TimeElapsedColumn(),
        drawn.TextColumn("left"),
        drawn.TimeRemainingColumn(elapsed_when_finished=False),
    )
    with drawn.Progress(*columns, console=Console(file=sys.stderr)) as bars:
        tasks = [bars.add_task(name, total=1.0, start=False) for name in names]
        whole = bars.add_task("all", total=1.0) if len(names) > 1 else None

        class Bars(Progress):
            def at(self, number: int, share: float) -> None:
                if not self._shares[number]:
                    bars.start_task(tasks[number])
                super().at(number, share)
                bars.update(tasks[number], completed=self._shares[number])
                if whole is not None:
                    bars.update(whole, completed=self.share)

        yield Bars(names)
