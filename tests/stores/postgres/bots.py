"""What the table of a bot is adopted as; the table itself is the fixture `bots`."""

from sessionguard.stores.postgres.adoption import Adoption

BOTS = Adoption(
    "bot.session", ("user_id",), ("status", "active"), "created_at", {"status": "ended", "ended_at": "now()"}
)
