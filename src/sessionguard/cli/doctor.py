"""`sessionguard doctor`: what is wrong with a store or its surroundings, and what to do about it."""

from argparse import ArgumentParser, Namespace

from attrs import asdict

from sessionguard.cli import status
from sessionguard.cli.output import print_json, visible
from sessionguard.cli.target import add_store_arguments, opened_examined_store


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Examine and report; the status says whether there is a problem. Warnings alone are no problem."""
    with opened_examined_store(arguments, must_exist=True) as store:
        findings = store.examine()
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level.ljust(7)}  {visible(finding.subject)}: {visible(finding.message)}")
            if finding.remedy and finding.level != "ok":
                print(f"         -> {visible(finding.remedy)}")
    return status.FAILED if any(finding.level == "problem" for finding in findings) else status.OK
