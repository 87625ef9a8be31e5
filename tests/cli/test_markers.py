"""Markers tell whose data somebody received."""

from sessionguard.cli.demo.markers import markers_in, new_marker, state_of, states_of


def test_every_marker_is_new_and_names_its_state() -> None:
    """No two markers are the same, and each tells its state."""
    markers = {new_marker("kebbi") for _ in range(100)}
    assert len(markers) == 100
    assert {state_of(marker) for marker in markers} == {"kebbi"}


def test_markers_are_found_in_any_content() -> None:
    """Markers are found between other bytes, text or not, and a torn one is not taken for a whole one."""
    benue, kebbi = new_marker("benue"), new_marker("kebbi")
    content = b"\x00\xff" + benue.encode() + b"  " + kebbi.encode() + b"\x1a" + new_marker("plateau").encode()[:-1]
    assert markers_in(content) == {benue, kebbi}
    assert states_of([kebbi, benue, kebbi]) == ("benue", "kebbi")
    assert markers_in(b"All data is from Benue") == frozenset()
