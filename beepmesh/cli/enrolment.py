"""How an organisation and its devices come to be: `org create`, `invite`, `join`, `admit`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beepmesh import admission, config
from beepmesh.cli.call import Call
from beepmesh.cli.pending import PendingJoin
from beepmesh.cli.reasons import met_on_the_way
from beepmesh.cli.text import INDENT, count_of, iso_time, listed, local_time, safe_line, span
from beepmesh.errors import HomeProblem, InvitationProblem, Usage
from beepmesh.home import Home
from beepmesh.messages.lifetimes import duration_s
from beepmesh.trust.enrol import check_answer, refusal, request
from beepmesh.trust.identity import Identity
from beepmesh.trust.invite import HINTS_MAX, Invitation, decode_code, fits_in_code, invitation_id
from beepmesh.trust.joinfile import FILE_BYTES_MAX, open_answer_file, seal_request_file
from beepmesh.trust.names import clean_name

if TYPE_CHECKING:
    from beepmesh.joining import Admitted
    from transports.link import Transport

INTRODUCTION_S: Final = 5.0  # The registrar was there a moment ago; whoever waits at the screen is not kept longer.
_FILE_REASONS: Final = {
    "file-malformed": "This is no request file of beepmesh. Use the one that `beepmesh join --request` wrote.",
    "file-foreign": "This request was made with another invitation, or was changed. Use the right file.",
    "registrar-disk": "This device cannot write down whom it lets in, so nobody was let in. Free some space.",
    "request-malformed": "The request is damaged. Have it written again.",
    "request-signature": "The request is damaged or false. Have it written again.",
}


def create(call: Call, *, name: str, person: str, no_passphrase: bool) -> None:
    """A new organisation with this device at its head."""
    name, person = clean_name(name), clean_name(person)
    _refuse_existing(call.path)
    passphrase = None if no_passphrase else call.passphrase.chosen()
    with Home.found(call.path, name, person, passphrase, call.now_ms()) as home:
        _tell_identity(call, home.identity)
    call.screen.line(f"{safe_line(name)} is made, and {safe_line(person)} is its headquarters on this device.")
    call.screen.line(f"The root key is in {call.path} and nowhere else: keep that folder safe.")
    call.screen.line("Next: `beepmesh invite` makes a code for each device that is to come in.")


def invite(
    call: Call,
    *,
    role: str,
    department: str,
    expires: str,
    device_of: str | None,
    hints: list[str],
    qr: bool,
) -> None:
    """A code for one device."""
    expires_s = duration_s(expires)
    with call.open() as home:
        hints = hints or [spec for spec in home.config.links_use if _is_hub(spec) and fits_in_code(spec)][:HINTS_MAX]
        for hint in hints:
            _transport(hint)
        now_ms = call.now_ms()
        invited = admission.invite(home, role, department, expires_s, hints, device_of=device_of or "", now_ms=now_ms)
        running = home.node_process() is not None
    screen = call.screen
    if screen.is_json:
        screen.result({"code": invited.code, "expires": iso_time(invited.expires_s * 1_000)})
        return
    whom = f"another device of {safe_line(device_of)}" if device_of else f"one device with the role {role}"
    where = f" in {safe_line(department)}" if department else ""
    left, end = span(invited.expires_s - now_ms / 1_000), local_time(invited.expires_s * 1_000, now_ms)
    screen.line(f"This lets in {whom}{where}, once, for {left} (until {end}):")
    screen.line()
    screen.line(INDENT + invited.code)
    screen.line()
    if qr:
        _draw(invited.code)
    screen.line("On the new device: beepmesh join CODE --as PERSON")
    if not running:
        screen.line("Start `beepmesh run` here, so that the new device finds this one.")


def join(
    call: Call,
    *,
    code: str,
    person: str | None,
    no_passphrase: bool,
    via: list[str],
    timeout: int,
    request: str | None,
    answer: str | None,
) -> None:
    """Enter an organisation: over a link, or by two files."""
    if request is not None and answer is not None:
        raise Usage("--request comes first and --answer later, when the registrar's file is there. Give one of them.")
    if via and (request is not None or answer is not None):
        raise Usage("--via is for a network, --request and --answer are for none. Give one or the other.")
    _refuse_existing(call.path)
    invitation = decode_code(code, None if answer is not None else call.now_ms() // 1_000)
    if answer is not None:
        _finish_by_file(call, invitation, answer)
        _keep_hubs(call, _where(via, invitation))
        return
    if person is None:
        raise Usage("Say who you are: --as PERSON, the name that colleagues will see.")
    name = clean_name(person)
    specs = _where(via, invitation)
    transports = [] if request is not None else [_transport(spec) for spec in specs]
    passphrase = None if no_passphrase else call.passphrase.chosen()
    pending = PendingJoin.begin(call.path, passphrase)
    if request is not None:
        _ask_by_file(call, invitation, pending, name, request)
        return
    admitted = _ask_near(call, transports, invitation, pending, name, timeout)
    # A hub is dialled by its name and pin; where it was met says neither.
    hubs = {transport.spec: spec for transport, spec in zip(transports, specs, strict=True) if _is_hub(spec)}
    registrar = hubs.get(admitted.spec, f"tcp:{admitted.address}")
    _enter(call, admitted.identity, pending, passphrase, admitted.check_digits, registrar)
    _keep_hubs(call, specs)


def admit(call: Call, *, request: str, answer: str) -> None:
    """Answer a request file."""
    data = _read(request)
    with call.open() as home:
        decided = admission.decide_file(home, data, now_ms=call.now_ms())
    if isinstance(decided, admission.Denied):
        known = _FILE_REASONS.get(decided.reason)
        problem = refusal(decided.reason)
        raise InvitationProblem(decided.reason, known or str(problem))
    _write(answer, decided)
    if call.screen.is_json:
        call.screen.result({"answer": str(Path(answer).expanduser().absolute())})
    call.screen.line(f"Let in. Carry {safe_line(answer)} back to the new device. There:")
    call.screen.line(f"{INDENT}beepmesh join CODE --answer {safe_line(answer)}")


def _ask_near(
    call: Call, transports: list[Transport], invitation: Invitation, pending: PendingJoin, name: str, timeout: int
) -> Admitted:
    import anyio

    from beepmesh.joining import join as join_near

    with call.screen.waiting("Joining") as progress:

        async def ask() -> Admitted:
            try:
                return await join_near(
                    transports, invitation, pending.keys, name, within_s=float(timeout), progress=progress.step
                )
            except InvitationProblem as problem:
                raise InvitationProblem(problem.reason, f"{problem}{met_on_the_way(transports)}") from None

        try:
            return anyio.run(ask)
        except* OSError as group:
            raise HomeProblem(f"The network cannot be used: {group.exceptions[0]}.") from None


def _ask_by_file(call: Call, invitation: Invitation, pending: PendingJoin, name: str, file: str) -> None:
    asked = request(pending.keys, name, invitation_id(invitation.secret))
    _write(file, seal_request_file(invitation.secret, asked, os.urandom))
    if call.screen.is_json:
        call.screen.result({"request": str(Path(file).expanduser().absolute())})
    call.screen.line(f"The request is in {safe_line(file)}. Carry it to the device that made the invitation. There:")
    call.screen.line(f"{INDENT}beepmesh admit {safe_line(file)} --answer ANSWERFILE")
    call.screen.line("Then carry the answer back and type here:")
    call.screen.line(f"{INDENT}beepmesh join CODE --answer ANSWERFILE")


def _finish_by_file(call: Call, invitation: Invitation, file: str) -> None:
    sealed = _read(file)

    def unlock(passphrase: str | None) -> tuple[PendingJoin, str | None]:
        return PendingJoin.open(call.path, passphrase), passphrase

    pending, passphrase = call.passphrase.unlocking(unlock)
    identity = check_answer(open_answer_file(invitation.secret, sealed), invitation, pending.keys)
    _enter(call, identity, pending, passphrase, "")


def _enter(
    call: Call, identity: Identity, pending: PendingJoin, passphrase: str | None, digits: str, registrar: str = ""
) -> None:
    with Home.admit(call.path, identity, passphrase, call.now_ms()) as home:
        pending.end()
        if registrar:
            _introduce(call, home, registrar)
        _tell_identity(call, home.identity, digits)
        roles, department = home.identity.roles, home.identity.department
    where = f" in {safe_line(department)}" if department else ""
    call.screen.line(
        f"{safe_line(identity.name)} is now a member of {safe_line(identity.org_name)}: {', '.join(roles)}{where}."
    )
    if digits:
        call.screen.line(f"Check digits of this joining: {digits[:3]} {digits[3:]}")
    call.screen.line("Next: `beepmesh run` keeps this device in touch; `beepmesh who` lists whom it knows.")


def _introduce(call: Call, home: Home, registrar: str) -> None:
    """One round with whoever let us in, so that each can write to the other from now on. Failing, it comes later."""
    import anyio

    from beepmesh.node import Node

    async def meet() -> None:
        node = Node(home)
        async with anyio.create_task_group() as tasks:
            await node.start(tasks, [_transport(registrar)])
            await node.sync_round(within_s=INTRODUCTION_S)
            tasks.cancel_scope.cancel()

    with call.screen.waiting("Meeting the others"):
        try:
            anyio.run(meet)
        except* (HomeProblem, OSError):
            pass  # This device is in, whatever the network does now.


def _keep_hubs(call: Call, specs: list[str]) -> None:
    """Have `beepmesh run` dial the hubs that this device was let in by or told of, beside the local network.

    The device is in by now, so nothing here fails it.
    """
    hubs = [spec for spec in dict.fromkeys(specs) if _is_hub(spec)]
    if not hubs:
        return
    try:
        for spec in hubs:
            _transport(spec)
        kept = config.keep_links(call.path, ["lan", *hubs])
    except (OSError, HomeProblem, Usage) as error:
        call.screen.aside(f"The hub could not be noted: name it to `beepmesh run` each time. ({safe_line(str(error))})")
        return
    if kept:
        call.screen.line(f"`beepmesh run` will look on the local network and at {safe_line(listed(hubs))}.")


def _is_hub(spec: str) -> bool:
    return spec.partition(":")[0] == "hub"


def _tell_identity(call: Call, identity: Identity, digits: str = "") -> None:
    if not call.screen.is_json:
        return
    told: dict[str, object] = {
        "org": identity.org.hex(),
        "person": identity.person.hex(),
        "device": identity.device.hex(),
        "org_name": identity.org_name,
        "name": identity.name,
        "roles": list(identity.roles),
        "department": identity.department,
    }
    call.screen.result(told | {"check_digits": digits} if digits else told)


def _refuse_existing(path: Path) -> None:
    if Home.exists(path):
        raise HomeProblem(
            f"There is an identity in {path} already. One home is one device: name another home with --home."
        )


def _where(via: list[str], invitation: Invitation) -> list[str]:
    """The specs to look at: what was said, else the code's hints that this version knows, and the local network."""
    from transports.specs import FORMS

    known = [hint for hint in invitation.hints if hint.partition(":")[0] in FORMS]
    return via or list(dict.fromkeys([*known, "lan"]))


def _transport(spec: str) -> Transport:
    from transports.specs import SpecError, parse

    try:
        return parse(spec, newcomer=True)
    except SpecError as error:
        raise Usage(str(error)) from None


def _draw(code: str) -> None:
    import segno

    segno.make_qr(code, error="m").terminal(out=sys.stdout, compact=True)


def _read(file: str) -> bytes:
    """A request or an answer. Raises Usage."""
    try:
        with open(Path(file).expanduser(), "rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Usage(f"The file {file} cannot be read ({error.strerror}).") from None
    if len(data) > FILE_BYTES_MAX:
        raise Usage(f"The file {file} is larger than {count_of(FILE_BYTES_MAX, 'byte')}: it is something else.")
    return data


def _write(file: str, data: bytes) -> None:
    """Beside the place first, so that a full stick leaves no half file. Raises HomeProblem."""
    path = Path(file).expanduser()
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HomeProblem(f"The file {file} cannot be written ({error.strerror}).") from error
