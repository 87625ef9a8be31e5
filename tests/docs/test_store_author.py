"""What a store author is given: a store to copy that shows every behaviour, and a table in which no verb is missing."""

import re
from collections.abc import Callable
from typing import Any

from attrs import evolve

from sessionguard.stores.contract import FleetStore, LeasingStore, ListingStore, LockingStore, Store
from sessionguard.testing import PER_PROCESS, verdicts
from tests.architecture.source_tree import REPOSITORY
from tests.docs.markdown import blocks_of


def store_of_the_page() -> Callable[[], Any]:
    """Give the class that the page shows."""
    page = REPOSITORY / "docs/how-to/write-a-store.md"
    names: dict[str, Any] = {"__name__": "mystore"}
    exec(next(block.text for block in blocks_of(page) if block.file_name == "mystore.py"), names)
    store: Callable[[], Any] = names["MyStore"]
    return store


def test_the_store_to_copy_shows_every_behaviour() -> None:
    """No case of one caller fails on it, and only what it is said to lack is skipped."""
    capabilities = evolve(PER_PROCESS, listing=False, locks=False, leases=False, fleet=False, limits=False)
    make_store = store_of_the_page()
    judged = verdicts(lambda: make_store, capabilities=capabilities, modes=["blocking"])
    assert [(each.case, each.reason) for each in judged if each.status == "fail"] == []
    assert {each.reason.partition("(")[0] for each in judged if each.status == "skip"} == {
        "the store declares Capabilities"
    }


def test_the_table_of_verbs_is_complete() -> None:
    """Every verb of the contract and of the optional abilities has its row."""
    text = (REPOSITORY / "docs/reference/stores.md").read_text(encoding="utf-8")
    table = text.partition("### The verbs of a store")[2].partition("**Repeating.**")[0]
    rows = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    kinds = (Store, ListingStore, LockingStore, LeasingStore, FleetStore)
    verbs = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
    assert set(rows) == verbs - {"name"}
    assert len(rows) == len(set(rows))
