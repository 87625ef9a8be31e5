"""What `scope["session"]` is to an application without a framework."""

import json
from typing import Any

import pytest

from tests.adapters.asgi.asgi_site import AsgiSite


def test_data_survives(site: AsgiSite) -> None:
    """What one request writes, the next one of the same visitor reads."""

    @site.view
    def write(scope: Any) -> str:
        scope["session"]["a"] = {"b": [1]}
        return ""

    @site.view
    def read(scope: Any) -> str:
        return json.dumps(scope["session"])

    token = site.call("/write", "POST").token
    assert token is not None
    reply = site.call("/read", cookie=token)
    assert (reply.text, reply.token, reply.is_private) == ('{"a": {"b": [1]}}', None, True)


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
