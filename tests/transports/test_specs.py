"""A spec names a transport, and a wrong one says what there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.specs import SpecError, parse


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("lan", "lan"),
        ("lan:9000", "lan:9000"),
        ("lan:probe", "lan:probe"),
        ("tcp:192.0.2.1:7337", "tcp:192.0.2.1:7337"),
        ("tcp:[fe80::1%eth0]:7337", "tcp:[fe80::1%eth0]:7337"),
        ("listen:127.0.0.1:0", "listen:127.0.0.1:0"),
        ("listen:7337", "listen:7337"),
        ("memory:khan", "memory:khan"),
    ],
)
def test_every_known_form_gives_its_transport(spec: str, name: str) -> None:
    assert parse(spec).spec == name


def test_every_spec_of_a_transport_can_be_parsed_again() -> None:
    for spec in ("lan", "lan:1", "lan:probe", "tcp:[::1]:5", "listen:7337", "listen:[::]:0", "memory:khan"):
        assert parse(parse(spec).spec).spec == spec


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lam", "lan:probe"),
        ("tpc:1.2.3.4:5", "tcp:HOST:PORT"),
        ("pigeon:1", "listen:PORT"),
        ("tcp:", "tcp:HOST:PORT"),
        ("tcp:host", "tcp:HOST:PORT"),
        ("tcp:host:0", "port 0"),
        ("tcp:host:99999", "0..65535"),
        ("listen:here", "not a port"),
        ("lan:70000", "not a port"),
        ("", "lan"),
    ],
)
def test_a_wrong_spec_says_what_there_is(spec: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        parse(spec)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=30), st.builds("tcp:{}".format, st.text("[]:%.0x", max_size=12))))
def test_any_text_is_a_transport_or_a_spec_error(spec: str) -> None:
    try:
        parse(spec)
    except SpecError as error:
        assert str(error)  # noqa: PT017 - both endings are right
