"""A scenario: a plan, and the marks that its run has to reach, in one TOML file.

    about = "..."                 what it is, in a line
    [trace]    drawn = "town"     a generator of mobility.py and its settings; or file = "..."
    [workload] drawn = "field"    a generator of workload.py and its settings; or file = "..."
    [air] [[uplinks]] [faults]    as plan.py has them
    [marks]    of_bound_min = 0.98

A file's path is taken from where the scenario stands.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage
from simulations import tables
from simulations.marks import Mark, read_marks
from simulations.plan import Plan
from simulations.sources import GROUNDS, read_source
from simulations.traffic import TRAFFIC

FOLDER: Final = Path(__file__).parent / "scenarios"
SCENARIO_BYTES_MAX: Final = 1 << 20
_OWN: Final[Mapping[str, Any]] = {"about": str, "marks": dict, "smoke": bool}
"""What a scenario has beside its plan."""


@dataclass(frozen=True, slots=True)
class Scenario:
    plan: Plan
    about: str
    marks: tuple[Mark, ...]
    smoke: bool
    """Short enough to run with the tests."""


def names() -> list[str]:
    """Those that come with the simulator."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(named: str) -> Scenario:
    """By its name, or by the path of its file. Raises Usage."""
    path = Path(named)
    if path.suffix != ".toml":
        path = FOLDER / f"{named}.toml"
        if named not in names():
            close = near(named, names(), 3)
            hint = f"Did you mean {' or '.join(close)}?" if close else "`python -m simulations list` shows them."
            raise Usage(f"There is no scenario {short(named)}. {hint}")
    return load(path)


def load(path: Path) -> Scenario:
    """Raises Usage, which names the file and what is wrong in it."""
    try:
        with path.open("rb") as file:
            data = file.read(SCENARIO_BYTES_MAX + 1)
        if len(data) > SCENARIO_BYTES_MAX:
            raise Usage(f"{path} is larger than a scenario can be.")
        table = tomllib.loads(data.decode())
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Usage(f"{path} is no TOML: {error}.") from None
    return parse(table, path.stem, path.parent, str(path))


def parse(table: Mapping[str, object], name: str, folder: Path, where: str) -> Scenario:
    """A scenario from the tables of its file. Raises Usage."""
    own = {key: table[key] for key in _OWN if key in table}
    rest = {key: inner for key, inner in table.items() if key not in _OWN}
    about = tables.value(_OWN["about"], own.get("about", ""), f"{where}: about")
    if not about:
        raise Usage(f"{where} lacks about: a line that says what it is.")
    marks = read_marks(_table(own.get("marks", {}), f"{where}: marks"), f"{where}: marks")
    smoke = tables.value(bool, own.get("smoke", False), f"{where}: smoke")
    return Scenario(read_plan({**rest, "name": name}, where, folder), about, marks, smoke)


def read_plan(table: Mapping[str, object], where: str, folder: Path = Path()) -> Plan:
    """A plan from a table like `Plan.as_table`'s. Files are looked for from `folder` on. Raises Usage."""
    hints = [field.name for field in dataclasses.fields(Plan)]
    tables.known(table, dict.fromkeys([*hints, *_OWN]), where)
    drawn = {
        key: read_source(_table(table.get(key, {}), f"{where}: {key}"), kinds, f"{where}: {key}", folder)
        for key, kinds in (("trace", GROUNDS), ("workload", TRAFFIC))
    }
    return tables.read(Plan, {**table, **drawn}, where)


def _table(given: object, where: str) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        raise Usage(f"{where} is a table of its own.")
    return given
