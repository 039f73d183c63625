"""Other computers let in and shut out by the setting of the address."""

from __future__ import annotations

from hypothesis import given, strategies as st

from gui.models.lan import address_of, is_open, places, switched

hosts = st.sampled_from(["127.0.0.1", "0.0.0.0", "localhost", "192.168.1.7", "[::]", "[::1]"])
values = st.builds(
    "{}{}:{}".format, st.sampled_from(["", "https://"]), hosts, st.integers(1, 65535)
)


@given(values)
def test_a_switch_keeps_port_and_certificate_and_changes_who_gets_in(value):
    for wanted in (True, False):
        new = switched(value, wanted)
        assert is_open(new) is wanted
        assert address_of(new).port == address_of(value).port
        assert address_of(new).scheme == address_of(value).scheme


@given(st.text(max_size=40))
def test_whatever_the_setting_holds_there_is_an_address(value):
    assert address_of(switched(value, True)).port > 0
    assert places(value, ["192.168.1.7"]) is not None


def test_a_socket_in_the_file_system_gives_way_to_a_port():
    assert not is_open("unix:///run/corral.sock")
    assert switched("unix:///run/corral.sock", True) == "0.0.0.0:11434"


def test_others_are_told_addresses_of_networks_alone():
    own = ["127.0.0.1", "fe80::1%eth0", "2001:db8::5", "192.168.1.7", "169.254.3.3", "192.168.1.7"]
    assert places("0.0.0.0:11434", own) == [
        "http://192.168.1.7:11434",
        "http://[2001:db8::5]:11434",
    ]
    assert places("0.0.0.0:8443", own[3:4], is_tls=True) == ["https://192.168.1.7:8443"]
    assert places("192.168.1.7:11434", own) == ["http://192.168.1.7:11434"]
    assert places("127.0.0.1:11434", own) == []
