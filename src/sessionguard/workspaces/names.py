"""Which names a file in a workspace may have: an allow-list, decided without I/O."""

import re
import unicodedata

from sessionguard.errors import PathEscapeError

MAX_COMPONENTS = 8
MAX_COMPONENT_BYTES = 255

# Nothing here means anything to a shell glob, a URL escape, an HTML attribute or a Windows path.
_PUNCTUATION = frozenset(" ._-()[]+,=@")
_CATEGORIES = frozenset("LMN")

# Letters and marks that draw nothing: two names could look alike and differ (Unicode Default_Ignorable_Code_Point).
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

# Windows opens the device whatever follows the first dot, so "con.csv" is the console there. Those with a dollar
# sign, such as CONIN$, are not on the allow-list anyway.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{number}" for port in ("com", "lpt") for number in range(10)]
)


def parse_name(session_id: str, name: object) -> tuple[str, ...]:
    """Give the components of `name`, NFC-normalised; joined by "/" they are the name as `list` shows it.

    Raises:
        PathEscapeError: the name is not on the allow-list; the error says which rule it breaks.
    """
    if not isinstance(name, str):
        raise PathEscapeError(session_id, name, "a name is text")
    # Before normalising, which is slow on megabytes of combining marks.
    if len(name) > MAX_COMPONENTS * (MAX_COMPONENT_BYTES + 1):
        raise PathEscapeError(session_id, name, "it is too long")
    parts = tuple(unicodedata.normalize("NFC", name).split("/"))
    if len(parts) > MAX_COMPONENTS:
        raise PathEscapeError(session_id, name, f"it has more than {MAX_COMPONENTS} components")
    for part in parts:
        problem = problem_of(part)
        if problem is not None:
            raise PathEscapeError(session_id, name, problem)
    return parts


def collision_key(component: str) -> str:
    """Give text that is equal for two components which some file system or reader takes for the same."""
    if component.isascii():
        return component.lower()
    folded = unicodedata.normalize("NFKC", component).casefold()
    # Folding can leave text that is no longer normalised, such as U+0345; one more round is stable.
    return unicodedata.normalize("NFKC", folded).casefold()


class NamesTogether:
    """Names that are to stand beside one another in one workspace."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        # What every reader takes for the same name -> how it is spelt, and whether it is a file.
        self._known: dict[tuple[str, ...], tuple[str, bool]] = {}
        self._named: set[tuple[str, ...]] = set()

    def add(self, parts: tuple[str, ...], *, is_directory: bool = False) -> None:
        """Take one more name, of a file unless said otherwise.

        Raises:
            PathEscapeError: it was named before, differs only in case or form from another, or is that of a file and
                of a directory.
        """
        key = self._place(parts, is_directory)
        if key in self._named:
            raise PathEscapeError(self._session_id, "/".join(parts), "there are two of this name")
        self._named.add(key)

    def add_existing(self, parts: tuple[str, ...]) -> None:
        """Take the name of a file that is there, which may be one of the others.

        Raises:
            PathEscapeError: it differs only in case or form from another, or is that of a file and of a directory.
        """
        self._place(parts, False)

    def _place(self, parts: tuple[str, ...], is_directory: bool) -> tuple[str, ...]:
        key: tuple[str, ...] = ()
        for number, part in enumerate(parts, 1):
            key = (*key, collision_key(part))
            is_file = number == len(parts) and not is_directory
            spelt, was_file = self._known.setdefault(key, (part, is_file))
            if spelt != part:
                problem = f"it differs from {spelt!a} only in case or in form"
                raise PathEscapeError(self._session_id, "/".join(parts), problem)
            if was_file != is_file:
                problem = f"{part!a} is a file and a directory"
                raise PathEscapeError(self._session_id, "/".join(parts), problem)
        return key


def problem_of(part: str) -> str | None:
    """Say which rule a component in NFC breaks, as it is or as whoever normalises sees it, or None."""
    return _problem(part) or _problem_of_compatible_form(part)


def is_allowed(character: str) -> bool:
    """Tell whether a name may have this character in its middle."""
    if character in _PUNCTUATION:
        return True
    # Controls, bidi and other format characters, surrogates, private and unassigned ones are category C.
    return unicodedata.category(character)[0] in _CATEGORIES and _INVISIBLE.match(character) is None


def _problem_of_compatible_form(part: str) -> str | None:
    # Full-width "CON" and "x" with a superscript one are device names or dots to whoever normalises.
    if part.isascii():
        return None
    compatible = unicodedata.normalize("NFKC", part)
    return None if compatible == part else _problem(compatible)


def _problem(part: str) -> str | None:
    """Say which rule a component breaks, or None."""
    if not part:
        return "it has an empty component"
    for character in part:
        if not is_allowed(character):
            return f"the character {character!a} is not allowed"
    if part[0] in ".- " or unicodedata.category(part[0])[0] == "M":
        return "a component may not start with a dot, a hyphen, a space or a combining mark"
    if part[-1] in ". ":
        return "a component may not end with a dot or a space"
    if len(part.encode("utf-8")) > MAX_COMPONENT_BYTES:
        return f"a component is longer than {MAX_COMPONENT_BYTES} bytes"
    if part.split(".", 1)[0].strip().casefold() in _DEVICES:
        return "it is the name of a device on some systems"
    return None
