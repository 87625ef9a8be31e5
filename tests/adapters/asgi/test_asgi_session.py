"""What `scope["session"]` is: a dictionary to those who look, and a tracked mapping to those who write."""

import json
from typing import Any

import pytest

from tests.adapters.asgi.asgi_site import AsgiSite

pytestmark = pytest.mark.parametrize("build", ["memory", "sqlite, blocking"], indirect=True)


@pytest.mark.parametrize("has_session", [True, False])
def test_one_query_a_request(site: AsgiSite, has_session: bool) -> None:
    """The store is asked once with a token, and not at all without one."""

    @site.view
    async def read(scope: Any) -> str:
        visit = scope["state"]["sessionguard"]
        return f"{dict(scope['session'])} {(await visit.session()) is (await visit.session())}"

    token = site.visitor(a=1) if has_session else None
    site.store.asked()
    reply = site.call("/read", cookie=token)
    assert reply.text == ("{'a': 1} True" if has_session else "{} True")
    assert site.store.asked() == (["load"] if has_session else [])


def test_writing_is_one_more_command(site: AsgiSite) -> None:
    """A request that writes loads and saves; one that opens a session creates it with what was written."""

    @site.view
    def write(scope: Any) -> str:
        scope["session"]["a"] = {"b": [1, (2,)]}
        scope["session"][5] = None
        return ""

    token = site.call("/write", "POST").token
    assert site.store.asked() == ["create"]
    assert site.data() == {"a": {"b": [1, [2]]}, "5": None}
    assert site.call("/write", "POST", cookie=token).token is None
    assert site.store.asked()[0] == "load"


def _inplace(session: Any) -> None:
    session["box"]["deep"].append(2)


def _union(session: Any) -> None:
    session |= {"new": 1}


def _discarded(session: Any) -> None:
    session["a"] = 5
    session.modified = False


CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "set": (lambda s: s.__setitem__("a", 2), {"a": 2}),
    "update": (lambda s: s.update({"a": 2}, c=3), {"a": 2, "c": 3}),
    "setdefault": (lambda s: (s.setdefault("a", 9), s.setdefault("c", [])), {"c": []}),
    "pop": (lambda s: s.pop("a"), {"a": None}),
    "popitem takes the last": (lambda s: s.popitem(), {"z": None}),
    "delete": (lambda s: s.__delitem__("a"), {"a": None}),
    "in place": (_inplace, {"box": {"deep": [1, 2]}}),
    "in place through get": (lambda s: s.get("box")["deep"].append(2), {"box": {"deep": [1, 2]}}),
    "in place through values": (lambda s: list(s.values())[1]["deep"].append(2), {"box": {"deep": [1, 2]}}),
    "in place through items": (lambda s: dict(s.items())["box"]["deep"].append(2), {"box": {"deep": [1, 2]}}),
    "in place through a copy": (lambda s: dict(s)["box"]["deep"].append(2), {"box": {"deep": [1, 2]}}),
    "union": (_union, {"new": 1}),
    "clear": (lambda s: s.clear(), {"a": None, "box": None, "z": None}),
    "set and taken back": (lambda s: (s.update(c=1), s.pop("c")), {}),
    "the same": (lambda s: s.update(a=1, box={"deep": [1]}), {}),
    "the same, of another type": (lambda s: s.update(a=True), {"a": True}),
    "discarded": (_discarded, {}),
    "only looked at": (lambda s: json.dumps(s["box"]), {}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_way_of_writing_is_noticed(site: AsgiSite, name: str) -> None:
    """What differs is stored, and nothing else is: no write where nothing changed. `json` shows what was written."""
    change, difference = CHANGES[name]
    shown: list[Any] = []

    @site.view
    def view(scope: Any) -> str:
        change(scope["session"])
        if name != "discarded":
            shown.append(json.loads(json.dumps({"in": scope["session"]}))["in"])
            assert shown[0] == dict(scope["session"]) == dict.copy(scope["session"])
        return ""

    before: dict[str, Any] = {"a": 1, "box": {"deep": [1]}, "z": 0}
    token = site.visitor(**before)
    site.store.asked()
    site.call("/view", "POST", cookie=token)
    expected = {key: value for key, value in (before | difference).items() if value is not None}
    assert site.data() == expected
    assert shown in ([], [expected])
    assert site.store.asked() == (["load", "save"] if difference else ["load"])


def test_session_object_says_what_starlettes_says(site: AsgiSite) -> None:
    """`accessed` and `modified` tell what was done, and can be said."""
    seen: list[Any] = []

    @site.view
    def view(scope: Any) -> str:
        session = scope["session"]
        seen.append((isinstance(session, dict), session.accessed, session.modified))
        session.get("a")
        seen.append((session.accessed, session.modified, session.is_new))
        session.mark_modified()
        seen.append(session.modified)
        assert "secret" not in repr(session)
        assert session == {"a": "secret"}
        assert session | {"b": 1} == {"a": "secret", "b": 1}
        assert {"b": 1} | session == {"a": "secret", "b": 1}
        assert list(reversed(session)) == ["a"]
        with pytest.raises(KeyError):
            session["missing"]
        return ""

    site.call("/view", cookie=site.visitor(a="secret"))
    assert seen == [(True, False, False), (True, False, False), True]


def test_unread_session_does_not_look_empty(site: AsgiSite) -> None:
    """Whoever turns the dictionary into JSON without a look at it first sees what it holds."""

    @site.view
    def view(scope: Any) -> str:
        return json.dumps(scope["session"])

    @site.view
    def nested(scope: Any) -> str:
        return json.dumps({"session": scope["session"]})

    token = site.visitor(a=1)
    assert site.call("/view", cookie=token).text == '{"a": 1}'
    assert site.call("/nested", cookie=token).text == '{"session": {"a": 1}}'
    assert site.call("/nested").text == '{"session": {}}'


def test_login_as_another_owner_shows_nothing_of_the_former(site: AsgiSite) -> None:
    """The dictionary beneath is emptied as well."""

    @site.view
    async def switch(scope: Any) -> str:
        scope["session"]["more"] = scope["session"]["a"]
        await scope["state"]["sessionguard"].login("bob")
        return json.dumps([scope["session"], dict.copy(scope["session"])])

    @site.view
    async def leave(scope: Any) -> str:
        assert scope["session"]["a"] == 1
        await scope["state"]["sessionguard"].logout()
        return json.dumps([scope["session"], dict.copy(scope["session"])])

    assert site.call("/switch", "POST", cookie=site.visitor("ana", a=1)).text == "[{}, {}]"
    assert site.call("/leave", "POST", cookie=site.visitor("ana", a=1)).text == "[{}, {}]"
