"""The console: one page to look at what the service does and why, over the service's own routes.

The page asks as any client does, with the key that is typed into it and kept nowhere else. It runs
no code but its own (a content security policy names the hashes) and asks no other host.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib.resources import files

from starlette.responses import Response

PARTS = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@functools.cache
def page() -> str:
    """The page's markup."""
    return (files("quintet.web") / "console.html").read_text(encoding="utf-8")


@functools.cache
def policy() -> str:
    """What the page may do: run and draw with what it brings, and ask the service that sent it."""
    allowed = {kind: f"'sha256-{_digest(content)}'" for kind, content in PARTS.findall(page())}
    return (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def response() -> Response:
    """The page as it is sent."""
    headers = {"content-security-policy": policy(), "referrer-policy": "no-referrer"}
    return Response(page(), media_type="text/html", headers=headers)
