"""What HTTP asks of any adapter, without any framework: how tokens travel, the headers, the status of an error.

Everything here is a pure function of its arguments.
"""

from sessionguard.adapters.http.answers import ANSWERS, Answer, answer_to
from sessionguard.adapters.http.caching import CLEAR_SITE_DATA, is_public, private_headers
from sessionguard.adapters.http.cookies import CookieSettings, read_token
from sessionguard.adapters.http.plainness import is_plain, warn_of_lost_cookie
from sessionguard.adapters.http.presented import NOTHING, Header, Presented, Transport
from sessionguard.adapters.http.token_header import HeaderSettings

__all__ = [
    "ANSWERS",
    "CLEAR_SITE_DATA",
    "NOTHING",
    "Answer",
    "CookieSettings",
    "Header",
    "HeaderSettings",
    "Presented",
    "Transport",
    "answer_to",
    "is_plain",
    "is_public",
    "private_headers",
    "read_token",
    "warn_of_lost_cookie",
]
