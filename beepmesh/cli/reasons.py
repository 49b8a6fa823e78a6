"""What a counted reason word means, for `beepmesh status`. A test finds every word in the code and asks for it here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transports.link import Transport

_OUTSIDERS = "somebody without the organisation's keys knocked and was told nothing"
_STATEMENT = "a usage statement was none of this organisation's, or was changed after it was signed"
_BROKEN = "a device broke the rules of the exchange and was hung up on"
_ENTRY = "an entry was not what its author signed, and was not kept"
_FACT = "a statement about people or keys was false or misplaced, and was not believed"
_ENVELOPE = "a message to you could not be opened and was refused"
_ADMISSION = "somebody asked to be let in and was refused"

WORDS: Final[dict[str, str]] = {
    # Links and handshakes.
    "outsider": _OUTSIDERS,
    "not-beepmesh": "something that is no beepmesh knocked and was told nothing",
    "handshake-failed": _OUTSIDERS,
    "framing-malformed": "something that is no beepmesh knocked and was told nothing",
    "framing-oversized": "a link carried more in one piece than it may, and was closed",
    "handshake-timeout": "a link was opened and nothing sensible came over it",
    "frame-unreadable": "what came over a link was changed, repeated or cut short on its way; the link was closed",
    "frame-malformed": _BROKEN,
    "channel-dead": _BROKEN,
    "record-oversized": _BROKEN,
    "talked-before-proof": _BROKEN,
    "owner-record": _BROKEN,
    "own-echo": "this device met itself; was its home copied?",
    "never-read": "a device asked and asked and took no answer, and was hung up on",
    "too-many-refusals": "a device sent one bad entry after another and was hung up on",
    "too-many-links": "more links were opened to this device than it takes; some were closed unheard",
    "accept-failed": "this device could not take a link that was opened to it; is it out of file descriptors?",
    "no-multicast": "neighbours cannot be looked for on some network; `beepmesh doctor` says more",
    "too-many-names": "more devices announced themselves than can be near; some were not looked at",
    "odd-address": "a device announced an address that leads away from here, and was not dialled there",
    "odd-name": "something announced itself as no beepmesh does, and was not dialled",
    # On the way to a hub, and a hub's own.
    "pin-wrong": "something with another key answered in the hub's place; is TLS intercepted, or the pin out of date?",
    "tls-date": "the hub's certificate is not valid on this date: is this device's clock right? A pin needs no clock",
    "tls-name": "the hub's certificate is for another name; check the address, or dial with its pin",
    "tls-unknown": "no authority that this system trusts vouches for the hub: dial with its pin, or TLS is intercepted",
    "tls-failed": "what answered in the hub's place speaks no TLS that we do",
    "captive-portal": "the network showed a page instead of letting the link pass; log in with a browser",
    "login-wanted": "something before the hub wants a login",
    "proxy-login": "the proxy wants a login: put it into HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT",
    "proxy-refused": "the proxy did not let the link through",
    "odd-proxy": "the proxy that is set cannot be used; HTTPS_PROXY is written http://HOST:PORT",
    "forbidden": "something on the way to the hub forbids the link",
    "no-hub": "there is a web server at the hub's address, and no hub behind it",
    "no-http": "what answered in the hub's place speaks neither HTTP nor anything like it",
    "hub-refused": "the hub, or something before it, answered as no hub does",
    "hub-unavailable": "what stands before the hub says that the hub is not there (5xx); it is tried again",
    "swallowed": "a path took bytes and brought none back; the link was closed and opened anew",
    "slow-reader": "a device left what was sent to it unread for too long and was hung up on",
    # Who is at the other end.
    "certificate-expired": "a device whose certificate has ended was turned away",
    "certificate-revoked": "a revoked device was turned away",
    "certificate-link-key": "a device claimed to be another one and was turned away",
    "certificate-unknown": "a device could not say who let it in and was turned away",
    "certificate-issuer": "a certificate of another organisation, or of no registrar of ours, was not believed",
    "certificate-signature": "a forged certificate was not believed",
    "certificate-malformed": "a damaged certificate was not believed",
    "certificate-scope": "a registrar certified beyond its right, and was not believed",
    "certificate-date": "a certificate was signed when its registrar had no right to, and was not believed",
    # The exchange.
    "ack-beyond": _BROKEN,
    "ack-empty": _BROKEN,
    "ask-twice": _BROKEN,
    "sketch-endless": _BROKEN,
    "sketch-malformed": _BROKEN,
    "sketch-unexpected": _BROKEN,
    "tag-ambiguous": "two devices looked alike on one link, by chance; the next link tells them apart",
    "list-differs": "headquarters has signed two lists of devices; with this neighbour everything is said in full",
    "version-unsupported": "a device speaks a form of the exchange that is too old; update it",
    "memory-damaged": "what was kept of a neighbour was damaged; everything was told again",
    "memory-wrong": "a neighbour has something else than was remembered; everything was told again",
    "epoch-new": "a neighbour has a new disk; everything was told again",
    "peer-rolled-back": "a neighbour knows less than it did, as after an old backup; everything was told again",
    "rolled-back": "this device knows less than its neighbours have heard of it; was an old backup restored?",
    "promise-broken": "a neighbour announced messages and did not hand them over; they come from others",
    "lane-not-shared": "a neighbour does not take part in what was asked of it",
    "hello-missing": _BROKEN,
    "hello-twice": _BROKEN,
    "lane-unwanted": _BROKEN,
    "log-repeated": _BROKEN,
    "log-unknown": _BROKEN,
    "logs-too-many": _BROKEN,
    "ranges-too-many": _BROKEN,
    "record-malformed": _BROKEN,
    "view-malformed": _BROKEN,
    "statement-malformed": _STATEMENT,
    "statement-foreign": _STATEMENT,
    "statement-signer": _STATEMENT,
    "statement-signature": _STATEMENT,
    "record-unknown": _BROKEN,
    "run-bounds": _BROKEN,
    "vector-empty": _BROKEN,
    "vector-order": _BROKEN,
    "vector-unexpected": _BROKEN,
    "window-exceeded": _BROKEN,
    # Entries.
    "bad-signature": _ENTRY,
    "signature-spoiled": "somebody on the way spoiled signatures; what they stood under is awaited from others",
    "broken-link": "an entry did not follow the one before it, and was not kept",
    "body-missing": "a message came without its text while it still lives; it is awaited from somebody else",
    "no-predecessor": "an entry came without the one before it; it comes again with it",
    "entry-malformed": _ENTRY,
    "entry-oversized": _ENTRY,
    "wrong-lane": _ENTRY,
    "unknown-feed": "entries came before the certificate of their author; they come again with it",
    "feed-revoked": "something that a revoked device wrote later was not kept",
    "log-frozen": "an author has said two things in one place; nothing more is taken from that log",
    "fork": "an author was found to have said two things in one place; the proof is kept and passed on",
    "fork-unproved": "an author has said two things in one place, and a spoiled signature keeps it from being shown",
    "fork-proof": "a false proof of a fork was not believed",
    "body-kind-unknown": "a newer version wrote something; it is carried, and read once this one is updated",
    "token-false": "somebody claimed that a message was delivered and could not prove it; it is still carried",
    "token-malformed": "somebody claimed that a message was delivered and could not prove it; it is still carried",
    # Statements about people and keys.
    "control-malformed": _FACT,
    "control-sealed": "a statement under a key that this device does not have; sync with headquarters",
    "fact-early": _FACT,
    "feed-page": "a device that may not, or out of turn, numbered the organisation's feeds, and was not believed",
    "fact-malformed": _FACT,
    "fact-misplaced": _FACT,
    "fact-unknown": "a newer version states something this one does not understand; update it",
    "prekey-malformed": _FACT,
    "prekey-signature": _FACT,
    # Messages.
    "envelope-binding": "somebody passed off another's envelope as his own, and was refused",
    "envelope-commit": _ENVELOPE,
    "envelope-malformed": _ENVELOPE,
    "envelope-open": _ENVELOPE,
    "envelope-no-prekey": "a message came for a key that is destroyed already; ask its writer to send it again",
    "envelope-unknown-sender": "a message came from somebody not known here yet; it is opened once word of him comes",
    "payload-bomb": "a message would have grown beyond its bound when unpacked, and was refused",
    "payload-malformed": _ENVELOPE,
    "content-malformed": _ENVELOPE,
    # Letting people in.
    "invitation-expired": "somebody came with an invitation that had expired",
    "invitation-used": "somebody came with an invitation that had been used by another device",
    "invitation-unknown": "somebody came with an invitation that this device does not know",
    "invitation-forbidden": "an invitation promised what this device may not give",
    "request-malformed": _ADMISSION,
    "request-link-key": "somebody asked to be let in with a key that is not the link's own, and was refused",
    "request-name": "somebody asked to be let in under a name that cannot be one",
    "request-signature": _ADMISSION,
    "file-foreign": "a request file belonged to another invitation",
    "file-malformed": "a file was no request of beepmesh",
    # What is read from this device's own files and answers.
    "answer-fields": "a registrar's answer was damaged",
    "answer-foreign": "a registrar's answer belonged to another device or organisation",
    "answer-serial": "a registrar's answer was false",
    "keys-malformed": "this home's keys are damaged",
    "history-malformed": "what was kept of meetings is damaged; it is gathered anew",
    "secrets-malformed": "a registrar's answer was damaged",
    "seed-malformed": "this home's keys are damaged",
    "ticket-malformed": "an invitation kept here is damaged",
    # Bundles on a stick.
    "not-for-us": "a bundle was sealed for other members' devices; this one may carry it, and cannot open it",
    "bundle-unopened": "a bundle of another organisation, or one damaged from its beginning, was left alone",
    "bundle-foreign": "a file with the name of a bundle was none, and was left alone",
    "bundle-version": "a bundle of a later form was left alone; update this device",
    "bundle-damaged": "a piece of a bundle was damaged or forged; what else is in it was taken",
    "bundle-torn": "a bundle ended too early; what is whole in it was taken",
    "bundle-malformed": "a piece of a bundle made no sense; what else is in it was taken",
    "bundle-oversized": "a bundle was larger than any may be; its beginning was read",
    "bundle-many": "a folder held more bundles than are read at a time; empty it of old ones",
    "bundle-no-file": "something with the name of a bundle was no plain file, and was left alone",
    "bundle-unreadable": "a bundle could not be read from its medium; try another port, or another stick",
    # The disk; engine.py makes these, all but the first, from the store's words.
    "evicted": "the store is full: what others wrote and matters least was given up (storage.megabytes in config.toml)",
    "purged": "messages that this device carried for others were delivered, and it let go of them",
    "store-full": "the disk was full; links were closed so that nothing is acknowledged that is not kept",
    "store-read-only": "the home could not be written; links were closed",
    "store-damaged": "the store does not read as it should; links were closed",
    "store-busy": "another beepmesh held the store for long; links were closed",
}


def words_for(reason: str) -> str:
    """The meaning of a reason; a word that this table lacks stands for itself."""
    return WORDS.get(reason, reason.replace("-", " "))


def met_on_the_way(transports: Sequence[Transport]) -> str:
    """What kept links from being made and a person can do something about: sentences to append, or nothing."""
    from beepmesh.port import COUNTED_FAILURES

    failures = sum((transport.failures for transport in transports), Counter[str]())
    return "".join(f" {reason}: {words_for(reason)}." for reason in sorted(COUNTED_FAILURES & failures.keys()))
