"""New certificates for devices that are known: the same keys and rights, a later end."""

from __future__ import annotations

from dataclasses import replace

from beepmesh.crypto.certificates import (
    DeviceCertificate,
    RegistrarCertificate,
    check_device,
    check_registrar,
    department_code,
    issue_device,
    issue_feed,
    issue_registrar,
)
from beepmesh.crypto.primitives import Entropy, SigningKey
from beepmesh.errors import NotAllowed
from beepmesh.trust.identity import DEVICE_S, REGISTRAR_S, Identity
from beepmesh.trust.roster import registrar_serial


def renew_own(identity: Identity, now_s: int, entropy: Entropy) -> Identity:
    """The same device with certificates that begin now, by its own registrar's right. Raises NotAllowed.

    Where the root key is, the registrar's certificate is renewed with them.
    """
    root, key, old = identity.root_key, identity.registrar_key, identity.registrar()
    if key is None or old is None:
        raise NotAllowed("Only a registrar renews certificates. Ask one.")
    mine = identity.certificate()
    own = old.data
    if root is not None:
        own = registrar_certificate(root, key.public, old.departments, old.roles, mine.device, now_s)
    issuer = check_registrar(own, identity.root_public)
    if not issuer.valid_at(now_s):
        raise NotAllowed("This device's right to let others in has ended. Ask headquarters to renew it.")
    expires = min(now_s + DEVICE_S, issuer.expires)
    certificate = reissue(key, issuer, mine, now_s=now_s, expires=expires, serial=entropy(8))
    vouched = issue_feed(
        key,
        feed_public=identity.feed_key.public,
        not_before=now_s,
        expires=expires,
        serial=entropy(8),
        department=department_code(identity.org, mine.department),
    )
    return replace(
        identity,
        registrar_certificate=own,
        issuer_certificate=own,
        device_certificate=certificate,
        feed_certificate=vouched,
    )


def reissue(
    registrar: SigningKey,
    issuer: RegistrarCertificate,
    device: DeviceCertificate,
    *,
    now_s: int,
    expires: int,
    serial: bytes,
) -> bytes:
    """A new certificate for a known device, with the same person and rights. Raises Refused beyond the issuer's own."""
    data = issue_device(
        registrar,
        person=device.person,
        device_public=device.public,
        link_public=device.link_public,
        name=device.name,
        department=device.department,
        roles=device.roles,
        not_before=now_s,
        expires=expires,
        serial=serial,
    )
    check_device(data, issuer)
    return data


def registrar_certificate(
    root: SigningKey, public: bytes, departments: tuple[str, ...], roles: tuple[str, ...], device: bytes, now_s: int
) -> bytes:
    """The root's word that this device is a registrar from now on; its serial names the device (roster, law 4)."""
    return issue_registrar(
        root,
        registrar_public=public,
        departments=departments,
        roles=roles,
        not_before=now_s,
        expires=now_s + REGISTRAR_S,
        serial=registrar_serial(device),
    )
