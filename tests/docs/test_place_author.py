"""What the author of a place for files is given: a page that leaves out no method a guard would use."""

from sessionguard.workspaces import contract
from tests.architecture.source_tree import REPOSITORY


def test_the_page_names_every_method_of_a_place() -> None:
    """Those that it must have, and those that it may have."""
    page = (REPOSITORY / "docs/how-to/write-a-place-for-files.md").read_text(encoding="utf-8")
    protocols = [each for each in vars(contract).values() if getattr(each, "_is_protocol", False)]
    methods = {
        name
        for each in protocols
        if each.__module__ == contract.__name__
        for name in vars(each)
        if not name.startswith("_")
    }
    assert {"is_young", "candidates", "write_all"} <= methods
    assert [name for name in sorted(methods) if f"`{name}`" not in page and f"`{name}(" not in page] == []
