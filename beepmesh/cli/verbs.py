"""Every verb: what it takes, what its help says, and where its code is. Parser, help and completion come from here.

Nothing is imported to read this table, so that help is there at once; its values are named tuples because a frozen
dataclass would load `inspect`, 8 ms of the 40 that a help text takes. A verb's function takes the call and then its
arguments by the names of `Argument.target`; tests/cli hold the two together.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["text", "flag", "number", "seconds", "file", "folder"]


class Argument(NamedTuple):
    """One thing that may be said. `name` is WHO for a place in the line, --expires for an option."""

    name: str
    help: str
    shows: str = ""
    """What stands for an option's value in help; empty for a flag."""
    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    may_lack: bool = False
    """A place that may stay empty; an option always may, unless `required`."""
    required: bool = False
    many: bool = False
    default: str | int | None = None
    target: str = ""

    @property
    def is_option(self) -> bool:
        return self.name.startswith("-")

    @property
    def parameter(self) -> str:
        """The name by which the verb's function takes it."""
        return self.target or self.name.lstrip("-").replace("-", "_").lower()


class Verb(NamedTuple):
    """One command. `code` is MODULE:FUNCTION inside beepmesh.cli."""

    name: str
    group: str
    summary: str
    text: str
    examples: tuple[str, ...]
    code: str
    arguments: tuple[Argument, ...] = ()
    next: str = ""


ROLES: Final = ("hq", "registrar", "lead", "field", "relay")
PRIORITIES: Final = ("sos", "urgent", "routine", "bulk")
SHELLS: Final = ("bash", "zsh", "fish")

START, MESSAGES, PEOPLE, LINKS, CARE = "Beginning", "Messages", "People", "Links", "Care"

EVERYWHERE: Final = (
    Argument("--home", "the folder of this device (default: $BEEPMESH_HOME, else ~/.beepmesh)", "DIR", "folder"),
    Argument("--json", "print JSON for programs instead of words for people", kind="flag"),
    Argument(
        "--passphrase-file",
        "read the home's passphrase from the first line of FILE, or of the input for -"
        " (default: $BEEPMESH_PASSPHRASE_FILE, else it is asked for)",
        "FILE",
        "file",
    ),
)

_AS: Final = Argument("--as", "your name, as colleagues will see it", "PERSON", target="person", required=True)
_NO_PASSPHRASE: Final = Argument(
    "--no-passphrase", "protect this home by nothing but the disk: for machines without a person", kind="flag"
)
_WHO: Final = Argument("WHO", "a name, NAME#ID, dept:PATH, hq or everyone; `beepmesh who` lists the names")
_ID: Final = Argument("ID", "the message's id, or its first four or more letters", target="message")
_SPECS: Final = "lan, hub:https://HOST, tcp:HOST:PORT or listen:HOST:PORT"

VERBS: Final = (
    Verb(
        "org create",
        START,
        "make an organisation, with this device as its headquarters",
        "Makes a new organisation. This device gets its root key and may let everybody else in. No network is needed.",
        ('beepmesh org create "Flood Cell Swat" --as "Amina Khan"',),
        "enrolment:create",
        (Argument("NAME", "what the organisation is called"), _AS, _NO_PASSPHRASE),
        "Let the next device in: `beepmesh invite` here and `beepmesh join` there.",
    ),
    Verb(
        "invite",
        START,
        "make a code that lets one device in",
        "Prints an invitation: a code for one device, to be read aloud, typed or photographed. Whoever has it can take"
        " that place, so give it to the right person only. This device must be running (`beepmesh run`) when the code"
        " is used, or the two exchange files (`beepmesh admit`). Roles: field is for everybody at work; relay for a"
        " device that mostly carries; lead and registrar may let field and relay devices into their department, or,"
        " having none, anywhere; hq is headquarters, and may do the same. Only the device that made the organisation"
        " gives the last three.",
        ("beepmesh invite", "beepmesh invite --role lead --department flood/swat --expires 3d --qr"),
        "enrolment:invite",
        (
            Argument("--role", "what the device may do", "ROLE", choices=ROLES, default="field"),
            Argument("--department", "where it belongs, as a path such as flood/swat", "PATH", default=""),
            Argument("--expires", "how long the code works: 90m, 24h, 7d", "TIME", default="24h"),
            Argument("--device-of", "for a further device of this person, rather than somebody new", "WHO"),
            Argument(
                "--hint",
                "an address to put into the code: tcp:HOST:PORT, hub:https://HOST#PIN; may be repeated"
                " (default: the hubs in config.toml)",
                "SPEC",
                many=True,
                target="hints",
            ),
            Argument("--qr", "draw the code for a camera too", kind="flag"),
        ),
        "On the new device: `beepmesh join CODE --as PERSON`.",
    ),
    Verb(
        "join",
        START,
        "enter an organisation with such a code",
        "Makes this device a member. It looks on the local network for the device that made the invitation. With"
        " --request and --answer two files are carried by hand instead, and no network is needed: write the request,"
        " have it admitted with `beepmesh admit`, then give the answer. A hub that the code or --via names is noted in"
        " config.toml, and `beepmesh run` dials it from then on.",
        (
            'beepmesh join 07K3M-9QX2T-... --as "Bilal Shah"',
            "beepmesh join 07K3M-9QX2T-... --as Bilal --via tcp:192.168.4.1:7337",
            "beepmesh join 07K3M-9QX2T-... --as Bilal --request usb/bilal.request",
            "beepmesh join 07K3M-9QX2T-... --answer usb/bilal.answer",
        ),
        "enrolment:join",
        (
            Argument("CODE", "the invitation; case, spaces and dashes do not matter"),
            Argument("--as", "your name, as colleagues will see it", "PERSON", target="person"),
            _NO_PASSPHRASE,
            Argument(
                "--via",
                "where to look: lan, hub:URL or tcp:HOST:PORT; may be repeated (default: the code's hints, and lan)",
                "SPEC",
                many=True,
            ),
            Argument("--timeout", "give up after so long: 90s, 5m", "TIME", "seconds", default="2m"),
            Argument("--request", "no network: write the request into FILE and stop", "FILE", "file"),
            Argument("--answer", "no network: read the registrar's answer from FILE", "FILE", "file"),
        ),
        "Start this device with `beepmesh run`.",
    ),
    Verb(
        "admit",
        START,
        "answer a request that came as a file",
        "For places without any network. Reads the request that `beepmesh join --request` wrote on the new device,"
        " checks it against the invitation this device gave out, and writes the answer to carry back.",
        ("beepmesh admit usb/bilal.request --answer usb/bilal.answer",),
        "enrolment:admit",
        (
            Argument("REQUESTFILE", "the file from the new device", kind="file", target="request"),
            Argument("--answer", "where to write the answer", "FILE", "file", required=True),
        ),
        "On the new device: `beepmesh join CODE --answer FILE`.",
    ),
    Verb(
        "send",
        MESSAGES,
        "write to somebody; works with no network",
        "Seals a message for its readers and keeps it here: when this command ends, the message is safe on this disk."
        " It leaves when this device meets another one, under `beepmesh run` or `beepmesh sync`. Put a name or a text"
        " of several words in quotes.",
        (
            'beepmesh send "Bilal Shah" "The bridge at Kund is out."',
            'beepmesh send dept:flood "Water rises, move to the school." --priority urgent',
            "beepmesh send hq - < report.txt",
        ),
        "mail:send",
        (
            _WHO,
            Argument("TEXT", "what to say, at most 64 KiB; - or nothing reads it from the input", may_lack=True),
            Argument("--priority", "sos and urgent go first", "RANK", choices=PRIORITIES, default="routine"),
            Argument("--expires", "give up carrying it after so long: 6h, 14d (default: 14d, sos 90d)", "TIME"),
        ),
        "`beepmesh show ID` tells how far it got.",
    ),
    Verb(
        "inbox",
        MESSAGES,
        "read what has come",
        "Shows messages to you, oldest first, and lets their writers know that you have read them.",
        ("beepmesh inbox --unread", 'beepmesh inbox --from "Amina Khan" --limit 20', "beepmesh inbox --follow --json"),
        "mail:inbox",
        (
            Argument("--follow", "go on showing what comes, until Ctrl-C", kind="flag"),
            Argument("--from", "only what this person wrote", "WHO", target="sender"),
            Argument("--unread", "only what was not shown before", kind="flag"),
            Argument("--limit", "the newest NUMBER messages", "NUMBER", "number", default=1_000),
            Argument("--keep-unread", "tell nobody that you have read them", kind="flag"),
        ),
        "`beepmesh send WHO` answers, `beepmesh ack ID` says that you will act on it.",
    ),
    Verb(
        "show",
        MESSAGES,
        "one message, and how far it got with whom",
        "Shows a message and, if you wrote it, what became of it for each reader. queued: still here alone. carried:"
        " other devices hold it and take it along. delivered: it is on the reader's device. read: it was shown."
        " acknowledged: the reader said so. expired: its time was over first. Only the reader's own device can say"
        " delivered, read or acknowledged.",
        ("beepmesh show 3f2a91c0",),
        "mail:show",
        (_ID,),
    ),
    Verb(
        "ack",
        MESSAGES,
        "tell the writer that you have understood",
        "Acknowledges a message: the writer sees that you, not only your device, have taken it in.",
        ("beepmesh ack 3f2a91c0",),
        "mail:acknowledge",
        (_ID,),
    ),
    Verb(
        "who",
        PEOPLE,
        "everybody this device knows",
        "Lists the people of the organisation as far as word of them has come here, with department and role.",
        ("beepmesh who",),
        "people:who",
    ),
    Verb(
        "revoke",
        PEOPLE,
        "shut a person's devices out for good",
        "For a lost or stolen device, or somebody who has left. No new message is sealed to it, and members stop"
        " talking to it as soon as word has reached them. What it has received already stays readable there. There is"
        " no way back but a new invitation.",
        ('beepmesh revoke "Bilal Shah"',),
        "people:revoke",
        (
            Argument("WHO", "the person's name, or NAME#ID; `beepmesh who` lists the names"),
            Argument("--yes", "do not ask whether it is meant", kind="flag"),
        ),
        "Word of it travels first, before any message.",
    ),
    Verb(
        "run",
        LINKS,
        "be a node: meet others and exchange what is due",
        "Keeps this device in touch with those around it until Ctrl-C. Everything else (send, inbox, ...) works beside"
        " it, in another window. Without SPEC it uses what config.toml says, at first the local network.",
        ("beepmesh run", "beepmesh run lan tcp:192.168.4.1:7337", "beepmesh run listen:0.0.0.0:7337 --json"),
        "running:run",
        (Argument("SPEC", f"a link: {_SPECS}", may_lack=True, many=True, target="specs"),),
    ),
    Verb(
        "sync",
        LINKS,
        "one exchange with whoever is near, then stop",
        "Meets the devices that can be reached, exchanges what each side lacks, and ends. Good for a device that is"
        " switched on now and then. Without SPEC it uses what config.toml says, at first the local network. With"
        " bundle:DIR it takes what others left in that folder, on a USB stick, and adds"
        " what is new here, as `beepmesh import` and `beepmesh export` do.",
        (
            "beepmesh sync",
            "beepmesh sync tcp:192.168.4.1:7337 --timeout 60s",
            "beepmesh sync bundle:/media/usb/beepmesh",
        ),
        "running:sync",
        (
            Argument("SPEC", f"a link: {_SPECS}; or bundle:DIR", may_lack=True, many=True, target="specs"),
            Argument("--timeout", "give up after so long if nobody answers: 90s, 5m", "TIME", "seconds", default="30s"),
        ),
    ),
    Verb(
        "export",
        LINKS,
        "write what this device holds to a USB stick, sealed",
        "Adds bundles to the folder DIR, sealed for the members of the organisation: what matters most first, and only"
        " what the bundles there do not hold already. Several devices may share a folder. An export that was"
        " interrupted goes on when it is done again. With --to it is sealed for those people's devices alone, and holds"
        " what they are likely to need; they can open it as long as they have their keys of today, some weeks.",
        (
            "beepmesh export /media/usb/beepmesh",
            "beepmesh export /media/usb/beepmesh --size 500MB",
            'beepmesh export /media/usb/beepmesh --to hq --to "Bilal Shah"',
        ),
        "bundles:export_to",
        (
            Argument("DIR", "a folder on the stick; it is made where it is missing", kind="folder", target="folder"),
            Argument(
                "--to", "only for: a name, dept:PATH, hq or everyone; may be repeated", "WHO", many=True, target="who"
            ),
            Argument("--size", "write at most so much: 64kB, 500MB, 2GB (default: what is free there)", "SIZE"),
        ),
        "Carry it to another device, and there: `beepmesh import DIR`.",
    ),
    Verb(
        "import",
        LINKS,
        "take what came on a USB stick",
        "Reads the bundles in DIR and takes from them what is new here, as carefully as from any neighbour. Doing it"
        " again changes nothing. What is damaged is named and counted; the rest of it is taken.",
        ("beepmesh import /media/usb/beepmesh",),
        "bundles:import_from",
        (Argument("DIR", "the folder with the bundles", kind="folder", target="folder"),),
        "`beepmesh export DIR` adds the answers.",
    ),
    Verb(
        "hub",
        LINKS,
        "be a node on the internet that everybody can reach",
        "Accepts links over WebSocket and TLS, as `hub:` links of other devices dial them, and holds what passes for"
        " whoever comes later. It is a node like others: it reads only what is addressed to it. Without --tls-cert it"
        " makes a certificate of its own at the first start, keeps it in its home and prints its pin, which the others"
        " need. It prints one JSON object a line, without names or texts; /healthz and, from private networks,"
        " /metrics are answered on the same port. SIGTERM ends it. With --store its home moves into a PostgreSQL"
        " database for good, and copies of the home folder, made after that, may run as hubs of the same device at"
        " once, on any machines: other devices name several of them. Name every host of a cluster in the URL: the one"
        " that can be written is used. Whoever lists processes sees the URL, so leave the password to $PGPASSWORD,"
        " $PGPASSFILE or a service (?service=NAME).",
        (
            "beepmesh hub",
            "beepmesh hub --listen 0.0.0.0:8443 --link hub:https://second.example.org",
            "beepmesh hub --tls-cert /etc/ssl/hub.pem --tls-key /etc/ssl/hub.key",
            "beepmesh hub --store postgresql://beepmesh@db1,db2/beepmesh",
        ),
        "hub:serve",
        (
            Argument("--listen", "where to accept links", "HOST:PORT", default="443"),
            Argument("--tls-cert", "the certificate and its chain, as PEM", "FILE", "file"),
            Argument("--tls-key", "its private key, as PEM", "FILE", "file"),
            Argument(
                "--link", "a further link, such as another hub's; may be repeated", "SPEC", many=True, target="links"
            ),
            Argument("--store", "keep the store in this database, for several hubs at once", "URL"),
        ),
        "On other devices: `beepmesh run hub:https://HOST:PORT#PIN`.",
    ),
    Verb(
        "hub usage",
        LINKS,
        "what each department had carried in a month",
        "Headquarters and relays add up what they accept, each entry once, by the department that its feed's"
        " certificate names: feeds that wrote, entries, bytes, and bytes times the days of their lifetimes. Nobody is"
        " named and nothing is opened. What comes more than a week after its month, or is misdated, is told apart."
        " Every hub that got the same entries in time has the same sums and the same digest.",
        (
            "beepmesh hub usage",
            "beepmesh hub usage --month 2026-11 --csv > november.csv",
            "beepmesh hub usage --month 2026-11 --sign november.usage",
            "beepmesh hub usage --check november.usage",
        ),
        "usage:usage",
        (
            Argument("--month", "which one; this one by default", "YYYY-MM"),
            Argument("--csv", "as a table for a spreadsheet", kind="flag"),
            Argument("--sign", "write the sums, signed by this device, into FILE", "FILE", "file"),
            Argument("--check", "show what is in FILE, and who signed it", "FILE", "file"),
        ),
    ),
    Verb(
        "peers",
        LINKS,
        "the devices this one has met",
        "Lists the devices that this one has been linked to, the latest first, with when and over what.",
        ("beepmesh peers",),
        "people:peers",
    ),
    Verb(
        "status",
        CARE,
        "what waits, who was met, what was refused",
        "Shows who this device is, what waits and why, whom it met, and everything it has refused, by reason.",
        ("beepmesh status", "beepmesh status --config"),
        "condition:status",
        (Argument("--config", "show the settings in force and where each comes from", kind="flag"),),
    ),
    Verb(
        "doctor",
        CARE,
        "look for what is wrong, and say what to do",
        "Checks home, disk, clock, certificate, keys, network and installation. Each line says ok, warn or fail; what"
        " is not ok comes with what to do. Ends with 1 if anything failed.",
        ("beepmesh doctor",),
        "doctor:doctor",
    ),
    Verb(
        "demo",
        CARE,
        "see it work: four people on this one machine",
        "Plays a scene with real processes: two officers who never meet exchange messages through a colleague who"
        " carries but cannot read them. Checks each of its claims and ends by itself within a minute.",
        ("beepmesh demo",),
        "rest:demo",
        (Argument("--keep", "leave the homes of the four in DIR, to look at", "DIR", "folder"),),
    ),
    Verb(
        "completion",
        CARE,
        "make the Tab key complete commands in your shell",
        "Prints a script for your shell.",
        (
            "source <(beepmesh completion bash)",
            "beepmesh completion zsh > ~/.zfunc/_beepmesh",
            "beepmesh completion fish > ~/.config/fish/completions/beepmesh.fish",
        ),
        "rest:completion",
        (Argument("SHELL", "bash, zsh or fish", choices=SHELLS),),
    ),
    Verb(
        "version", CARE, "print the version", "Prints the version of beepmesh.", ("beepmesh version",), "rest:version"
    ),
)


def form_of(verb: Verb) -> str:
    """The verb with the places behind it: "send WHO [TEXT]"."""
    return " ".join([verb.name, *(_place(argument) for argument in verb.arguments if not argument.is_option)])


def _place(argument: Argument) -> str:
    name = argument.name + ("..." if argument.many else "")
    return f"[{name}]" if argument.may_lack else name
