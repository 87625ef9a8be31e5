"""The timeline as one HTML page with an inline drawing: no script, no font, nothing fetched from anywhere."""

from html import escape
from typing import TYPE_CHECKING, Final

from sessionguard.testing.schedule.reports.drawing import drawing
from sessionguard.testing.schedule.reports.reproducing import reproduction
from sessionguard.testing.schedule.reports.text import UNDECLARED, heading, table

if TYPE_CHECKING:
    from sessionguard.testing.schedule.outcome import Failure

_STYLE: Final = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #1c2128; background: #fff; }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; }
.scroll { overflow-x: auto; border: 1px solid #d0d7de; }
svg text { font: 12px ui-monospace, monospace; fill: #1c2128; }
.lane { stroke: #d0d7de; } .op { fill: #ddf4ff; stroke: #54aeff; } .legal { fill: #dafbe1; stroke: #4ac26b; }
.stuck { fill: #ffebe9; stroke: #ff8182; } .tick { stroke: #57606a; stroke-width: 2; }
.clock { stroke: #bf8700; stroke-width: 3; } .switch { stroke: #cf222e; fill: none; stroke-dasharray: 4 3; }
"""


def render_html(failure: "Failure") -> str:
    """Give the page."""
    title = escape(heading(failure))
    parts = [
        f"<h1>{escape(failure.verdict.message)}</h1>",
        f"<p>{title}</p>",
        f'<div class="scroll">{drawing(failure.minimal, failure.verdict)}</div>',
        "<p>Bars are operations from call to return, ticks are points, dashed red lines are preemptions, amber "
        "ticks move the clock. Green operations are the longest legal order, red ones fit nowhere after it.</p>",
        f"<pre>{escape(chr(10).join(table(failure.minimal, failure.verdict.message)))}</pre>",
        f"<p>Repeat it: <code>{escape(reproduction(failure.replay_id, failure.options))}</code></p>",
    ]
    if failure.is_undeclared:
        parts.append(f"<p>{escape(UNDECLARED)}</p>")
    if failure.passing is not None:
        parts.append("<p>Without one of its interruptions it goes well:</p>")
        parts.append(f"<pre>{escape(chr(10).join(table(failure.passing)))}</pre>")
    if failure.verdict.frames:
        parts.append("<p>Raised here, most recent call last:</p>")
        parts.append(f"<pre>{escape(chr(10).join(failure.verdict.frames))}</pre>")
    verdict = failure.verdict.verdict
    if verdict is not None:
        parts.append(f"<pre>{escape(verdict.render())}</pre>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(failure.verdict.message)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
