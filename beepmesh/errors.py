"""Every error our caller can meet. Two kinds, never mixed.

BeepmeshError                 our caller's to handle; the text says what happened and what to do
|- Usage                      wrongly asked: exit code 2
|- HomeProblem                the home folder: missing, locked, damaged, full, read-only
|- Locked                     the keystore needs a passphrase, or got a wrong one
|- UnknownName                no such person, group or message; near ones are named
|- TooLarge                   a text or a list of recipients beyond its bound
|- NotAllowed                 this device's role does not permit it
|- InvitationProblem          wrong, expired, used or foreign invitation, or nobody answered
|- MediumProblem              a folder for bundles: full, missing, failing (bundles/medium.py; commands only)
`- Unreachable                nothing answered on the links that were asked for
Refused                       the other side's fault, with a named reason that is counted
"""

from __future__ import annotations


class BeepmeshError(Exception):
    """Something could not be done. The text says what and what to do about it."""


class Usage(BeepmeshError):
    """The request itself was wrong."""


class HomeProblem(BeepmeshError):
    """The home folder cannot be used as it is."""


class Locked(BeepmeshError):
    """The keystore is locked: give the passphrase, or the right one."""


class UnknownName(BeepmeshError):
    """Nobody, or nothing, of that name is known on this device."""


class TooLarge(BeepmeshError):
    """More than one message can carry."""


class NotAllowed(BeepmeshError):
    """This device's certificate does not give it that right."""


class InvitationProblem(BeepmeshError):
    """The invitation did not let this device in. `reason` is the stable word for why."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Unreachable(BeepmeshError):
    """Nothing answered."""


class Refused(Exception):
    """What came from outside breaks a rule. `reason` is a short stable word, counted and shown by `beepmesh status`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
