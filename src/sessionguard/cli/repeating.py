"""The command line that plays one case of the contract kit again, on the same store in the same way."""

import shlex
from argparse import Namespace
from collections.abc import Iterator

from sessionguard.cli.output import visible


def one_case(arguments: Namespace, case: str, mode: str, *more: str) -> str:
    """Give the command for one case in one mode, with what `arguments` say about the store, and with `more`."""
    # As pytest names it: a case may end like the name of another one, and a mode begin like that of another.
    chosen = f"test_{case}[{mode}]" if mode else f"test_{case}"
    told = ["sessionguard", "contract", arguments.factory, *_kept(arguments), "-k", chosen, *more]
    return visible(shlex.join(told))


def _kept(arguments: Namespace) -> Iterator[str]:
    if arguments.without:
        yield from ("--without", ",".join(dict.fromkeys(arguments.without)))
    if arguments.per_process:
        yield "--per-process"
    if arguments.yields is not None:
        yield from ("--yields", arguments.yields)
    if arguments.profile != "ci":
        yield from ("--profile", arguments.profile)
    if arguments.seed:
        yield from ("--seed", str(arguments.seed))
