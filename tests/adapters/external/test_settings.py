"""What an application may say about external ids, and which ids nobody guesses."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.adapters import settings
from sessionguard.adapters.external import Bearer, Claim, ExternalIds, Select, Signed, Strict
from sessionguard.adapters.external.identifiers import fingerprint, required_unguessable
from sessionguard.adapters.external.reading import Carried, asked_by
from sessionguard.adapters.http.origins import valid_origin
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import ConfigurationError, InvalidArgumentError

KEY = "kq8Zr5vT1xW7yB3nM9pL2sD6fG4hJ0aC"
KEYS = KeyRing({"a": KEY}, current="a")


@pytest.mark.parametrize(
    "kind, arguments, setting",
    [
        (Signed, {"keys": {"a": KEY}, "audience": "x"}, "Signed.keys"),
        (Signed, {"keys": KEYS, "audience": ""}, "Signed.audience"),
        (Signed, {"keys": KEYS, "audience": None}, "Signed.audience"),
        (Select, {"expose_id": "mine"}, "Select.expose_id"),
        (Select, {"creates_on_use": "no"}, "Select.creates_on_use"),
        (Bearer, {"unsafe_bearer_external_ids": True}, "Bearer.unsafe_bearer_external_ids"),
        (Bearer, {"unsafe_bearer_external_ids": "I accept"}, "Bearer.unsafe_bearer_external_ids"),
        (
            Bearer,
            {"unsafe_bearer_external_ids": "I accept CWE-488/CWE-598", "lifetime": timedelta(days=1)},
            "Bearer.lifetime",
        ),
        (ExternalIds, {"policy": "strict"}, "ExternalIds.policy"),
        (ExternalIds, {"policy": Strict}, "ExternalIds.policy"),
        (ExternalIds, {"scope": ""}, "ExternalIds.scope"),
        (ExternalIds, {"scope": "sessionguard-nonce"}, "ExternalIds.scope"),
        (ExternalIds, {"parameter": "a=b"}, "ExternalIds.parameter"),
        (ExternalIds, {"parameter": "_sig"}, "ExternalIds.signature"),
        (ExternalIds, {"header": "X_Sid"}, "ExternalIds.header"),
        (ExternalIds, {"caller": "ana"}, "ExternalIds.caller"),
        (ExternalIds, {"may_debug": True}, "ExternalIds.may_debug"),
        (ExternalIds, {"trusted_origins": "https://x"}, "ExternalIds.trusted_origins"),
        (ExternalIds, {"trusted_origins": ("https://x/",)}, "ExternalIds.trusted_origins"),
    ],
)
def test_wrong_setting_is_refused_by_name(kind: Any, arguments: dict[str, Any], setting: str) -> None:
    """At the start, with what would do; a key is never shown."""
    with pytest.raises(ConfigurationError) as caught:
        kind(**arguments)
    assert caught.value.setting == setting
    assert KEY not in str(caught.value)


def test_default_trusts_nobody() -> None:
    """And every policy shows itself, without secrets."""
    assert repr(ExternalIds().policy) == "Strict()"
    shown = repr(ExternalIds(policy=Signed(keys=KEYS, audience="app.example.org")))
    assert "Signed" in shown
    assert KEY not in shown


def test_bearer_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever starts such an application reads what it means."""
    ExternalIds(policy=Bearer(unsafe_bearer_external_ids="I accept CWE-488/CWE-598"))
    assert "CWE-488" in caplog.text


@pytest.mark.parametrize("name, policy", [("strict", Strict()), ("select", Select()), ("claim", Claim())])
def test_policy_is_set_by_name(name: str, policy: Any) -> None:
    """As from an environment variable; what needs more than a name is given as a value."""
    with SessionGuard.open("memory://") as guard:
        found = settings.rules_of({"EXTERNAL_IDS": name}, guard).external
        assert found is not None
        assert found.policy == policy
        ids = ExternalIds(policy=policy)
        assert settings.rules_of({"EXTERNAL_IDS": ids}, guard).external is ids
        assert settings.rules_of({}, guard).external is None


@pytest.mark.parametrize("value", ["bearer", "signed", "Strict", True, Strict()])
def test_policy_that_is_no_name_is_refused(value: Any) -> None:
    """The message says what there is."""
    with SessionGuard.open("memory://") as guard, pytest.raises(ConfigurationError) as caught:
        settings.rules_of({"EXTERNAL_IDS": value}, guard)
    assert caught.value.setting == "SESSIONGUARD_EXTERNAL_IDS"


def test_scope_of_visitors_is_refused() -> None:
    """External and internal sessions never mix."""
    with SessionGuard.open("memory://") as guard, pytest.raises(ConfigurationError, match="never mix"):
        settings.rules_of({"EXTERNAL_IDS": ExternalIds(scope="default")}, guard)
    with SessionGuard.open("memory://") as guard, pytest.raises(ConfigurationError, match="external"):
        settings.rules_of({}, guard, external="strict")


@pytest.mark.parametrize("policy", [Claim(), Signed(keys=KEYS, audience="x"), Strict(), Select()])
def test_policy_that_binds_browsers_is_refused_where_no_cookies_are_read(policy: Any) -> None:
    """A logout could not take the bindings back, and whoever came next would go on with the session."""
    ids = {"EXTERNAL_IDS": ExternalIds(policy=policy)}
    with SessionGuard.open("memory://") as guard:
        assert settings.rules_of(ids, guard).external is not None
        if isinstance(policy, Strict | Select):
            assert settings.rules_of({**ids, "TRANSPORT": "header"}, guard).external is not None
            return
        with pytest.raises(ConfigurationError) as caught:
            settings.rules_of({**ids, "TRANSPORT": "header"}, guard)
    assert caught.value.setting == "ExternalIds.policy"
    assert "header" in str(caught.value)


@pytest.mark.parametrize(
    "guessed",
    [
        "test",
        "7",
        "default",
        "a" * 22,
        "ab" * 16,
        "abcde" * 6,
        "0123456789abcdefghijklmnop",
        "abcdefghijklmnopqrstuvwxyz",
        "00000000-0000-0000-0000-000000000001",
        "test-Zk3qPx9LrT8wYbNd2Vc7",
        "Zk3qPx9LrT8wYbNd2Vc7-default",
        "session-2026-11-22-000017",
        "x" * 21,
    ],
)
def test_t48_id_that_can_be_guessed_cannot_be_claimed(guessed: str) -> None:
    """Two strangers would come upon it, or one try it."""
    with pytest.raises(InvalidArgumentError) as caught:
        required_unguessable("_sid", guessed)
    assert guessed not in str(caught.value)


def test_random_ids_can_be_claimed() -> None:
    """Those of the usual generators."""
    for _ in range(200):
        for made in (secrets.token_urlsafe(16), secrets.token_hex(16), str(uuid.uuid4())):
            required_unguessable("_sid", made)


def test_fingerprint_is_no_way_back() -> None:
    """It stands for the id where many may read, and for no other id."""
    assert fingerprint("42") != fingerprint("43")
    assert "42" not in (fingerprint("abc"), fingerprint("42"))


def test_body_of_the_application_is_not_found_fault_with() -> None:
    """A body that names nothing may be anything; a large one is not looked at."""
    for body in (b"{not json", b"[1, 2]", b'"text"', b"{" * 10_000, b"\xff\xfe"):
        assert asked_by(Carried(content_type="application/json", body=body)).selected is None
    with pytest.raises(InvalidArgumentError):
        asked_by(Carried(content_type="application/json", body=b'{"_sid": ' * 5_000))


@pytest.mark.parametrize("value", ["42", "1e3", "true", "[1]", "{}"])
def test_name_that_is_no_text_is_told_what_to_send(value: str) -> None:
    """A number in JSON is none: 007 would be no JSON, and 1e3 another name."""
    with pytest.raises(InvalidArgumentError, match=r"^_sid = .*not shown.*: send text: in JSON in quotes"):
        asked_by(Carried(content_type="application/json", body=f'{{"_sid": {value}}}'.encode()))


@pytest.mark.parametrize("form", ["token", "key"])
def test_t46_token_of_either_form_is_no_id(form: Any) -> None:
    """Session keys of Django look like ids of other programs; they are known by how they begin."""
    with SessionGuard.open("memory://", token_form=form, sweep_interval=None) as guard:
        token = guard.create("ana").token or ""
    asked = asked_by(Carried(query=f"_sid={token}".encode()))
    assert (asked.selected, asked.misplaced) == (None, ("query",))
    assert asked_by(Carried(query=b"_sid=" + uuid.uuid4().hex.encode())).selected is not None


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json; charset=utf-8"])
def test_name_in_json_counts_at_the_top_only(kind: str) -> None:
    """Deeper down it is the application's own."""
    asked = asked_by(Carried(content_type=kind, body=b'{"a": {"_sid": "x"}, "_sid": "42", "b": [{"_sid": 1}]}'))
    assert asked.selected == "42"


@pytest.mark.parametrize(
    "origin, is_valid",
    [
        ("https://app.example.org", True),
        ("http://localhost:8000", True),
        ("https://[2001:db8::1]:8443", True),
        ("capacitor://localhost", True),
        ("https://app.example.org/", False),
        ("https://app.example.org:0", False),
        ("https://app.example.org:443", False),
        ("https://App.example.org", False),
        ("app.example.org", False),
        ("null", False),
        ("*", False),
    ],
)
def test_origin_is_written_as_browsers_write_it(origin: str, is_valid: bool) -> None:
    """Another spelling would never match."""
    assert valid_origin(origin) is is_valid
