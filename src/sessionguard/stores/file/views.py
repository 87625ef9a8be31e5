"""One shard as a reader sees it, and as the one writer that holds its lock changes it."""

from sessionguard.stores.file import changeset
from sessionguard.stores.file.changeset import GONE, Change, Changes
from sessionguard.stores.file.folder import Folder


class View:
    """The files of one shard with what was decided and is not carried out yet laid over them."""

    def __init__(self, folder: Folder, shard: str, decided: Changes) -> None:
        self.folder = folder
        self.shard = shard
        self._over = dict(decided)

    def file(self, path: str) -> bytes | None:
        """Give the content of a file, None if there is none."""
        over = self._over.get(path)
        if over is not None:
            return over.content if over.is_file else None
        return changeset.read_file(self.folder.descriptor, path)

    def link(self, path: str) -> str | None:
        """Give the target of a link, None if there is none."""
        over = self._over.get(path)
        if over is not None:
            return over.content.decode() if over.is_link else None
        return changeset.read_link(self.folder.descriptor, path)

    def names(self, folder: str) -> set[str]:
        """Give the names in a folder."""
        names = set(changeset.names_in(self.folder.descriptor, folder))
        for path, over in self._over.items():
            parent, _, name = path.rpartition("/")
            if parent == folder:
                if over.is_gone:
                    names.discard(name)
                else:
                    names.add(name)
        return names


class Desk(View):
    """A view whose changes are collected, and decided together. Its shard is locked by whoever has it."""

    def __init__(self, folder: Folder, shard: str) -> None:
        super().__init__(folder, shard, {})

    @property
    def changes(self) -> dict[str, Change]:
        """What was changed so far, and is not decided."""
        return self._over

    def put(self, path: str, content: bytes) -> None:
        """Have a file with this content."""
        self._over[path] = changeset.file(content)

    def point(self, path: str, target: str) -> None:
        """Have a link with this target."""
        self._over[path] = changeset.link(target)

    def drop(self, path: str) -> None:
        """Have nothing there."""
        self._over[path] = GONE
