"""`python -m benchmarks reconcile ...` is reconcile.py, `... hostile` is hostile.py, `... hub` is hubload.py; anything
else is hosted.py, which needs Linux and root."""

from __future__ import annotations

import sys


def main() -> int:
    if sys.argv[1:2] == ["hostile"]:
        from benchmarks.hostile import main as hostile

        return hostile(sys.argv[2:])
    if sys.argv[1:2] == ["reconcile"]:
        from benchmarks.reconcile import main as reconcile

        return reconcile(sys.argv[2:])
    if sys.argv[1:2] == ["hub"]:
        from benchmarks.hubload import main as hubload

        return hubload(sys.argv[2:])
    from benchmarks.hosted import main as hosted

    return hosted(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
