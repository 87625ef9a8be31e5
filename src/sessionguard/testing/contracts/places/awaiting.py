"""Cases about the awaitable twin of a place: its calls come from other threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session
from sessionguard.workspaces.offloaded import OffloadedWorkspaces


@case
def every_call_can_be_awaited(site: Site) -> None:
    """What a place does blocking its awaitable twin does, too."""

    async def use() -> None:
        workspaces, session_id = OffloadedWorkspaces(site.another()), new_session()
        async with await workspaces.lease(session_id, UNLIMITED) as workspace:
            # Surely in another thread than the one that leased it; else luck decides.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            assert await workspace.write("a/b", b"12") == 2
            assert await workspace.write_all([("c", b"3")]) == ["c"]
            async with workspace.open("t", "w") as file:
                await file.write("é")
                assert await workspace.list() == ["a/b", "c"]
            assert await workspace.read("t") == "é".encode()
            assert (await workspace.usage()).bytes == 5
            assert await workspace.delete("t") is True
        assert await workspaces.candidates(10) == [session_id]
        assert (await workspaces.remove(session_id)).files == 2
        assert await workspaces.quarantine(session_id) is False

    asyncio.run(use())
