"""Sealed messages for people whose network comes and goes.

Embedders import from here and from nowhere deeper: where a name lives may change, that it is here does not. Each is
loaded when it is first asked for, so that importing this package costs next to nothing. `README.md` beside this file
has the map.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beepmesh.errors import (
        BeepmeshError,
        HomeProblem,
        InvitationProblem,
        Locked,
        NotAllowed,
        TooLarge,
        UnknownName,
        Unreachable,
        Usage,
    )
    from beepmesh.home import Home
    from beepmesh.node import Message, Node, Person, Receipt, Round, SentMessage, Text
    from beepmesh.port import Traffic
    from transports.link import Link, LinkBroken, LinkInfo, Transport
    from transports.specs import SpecError

__all__ = [
    "Node",
    "Home",
    "Text",
    "Person",
    "Message",
    "SentMessage",
    "Receipt",
    "Round",
    "Traffic",
    "Transport",
    "Link",
    "LinkInfo",
    "LinkBroken",
    "SpecError",
    "BeepmeshError",
    "HomeProblem",
    "InvitationProblem",
    "Locked",
    "NotAllowed",
    "TooLarge",
    "UnknownName",
    "Unreachable",
    "Usage",
]

_PLACES = {
    "beepmesh.node": "Node Text Person Message SentMessage Receipt Round",
    "beepmesh.home": "Home",
    "beepmesh.port": "Traffic",
    "transports.link": "Transport Link LinkInfo LinkBroken",
    "transports.specs": "SpecError",
    "beepmesh.errors": (
        "BeepmeshError HomeProblem InvitationProblem Locked NotAllowed TooLarge UnknownName Unreachable Usage"
    ),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A public name, loaded from its place (PEP 562)."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'beepmesh' has no attribute {name!r}")
    value: object = getattr(import_module(_PLACE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _require_our_own(name: str) -> None:
    """Both names belong to strangers' distributions too, and a file in the working directory may have one."""
    try:
        found = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(
            f"The package {name!r} of beepmesh is missing: another distribution's was removed over it. Install beepmesh"
            " again, in an environment of its own (pipx does that)."
        ) from None
    if getattr(found, "BEEPMESH_PACKAGE", None) is not True:
        raise ImportError(
            f"{getattr(found, '__file__', None) or name} is in the way: it is called {name!r} as a package of beepmesh"
            " is. Start beepmesh from another folder, or install it in an environment of its own (pipx does that)."
        )


_require_our_own("sync")
_require_our_own("transports")
