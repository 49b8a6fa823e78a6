"""Everything that is signed, sealed or derived. Only this package imports a cryptographic library.

Read in this order:

    primitives     what is done with which library; no other module here calls one
    names          what may stand as a name, a department, a role
    certificates   root -> registrar -> device and feed; revocations
    prekeys        public keys to seal to, and their secrets, destroyed by the clock
    seal           the envelope: one payload for some devices
    payload        compression and padding of what goes into it
    noise          the handshake and cipher of a link
    keystore       a device's secrets at rest

README.md has the formats byte by byte, the threats, and what is not protected.
"""
