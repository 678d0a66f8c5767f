"""Which usernames may exist? They stand in URLs (/p/<username>/...), so they are short lower-case slugs."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.text import slugify

USERNAME_MAX_LENGTH = 32
USERNAME_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,31}", re.ASCII)

# Words that are (or will be) addresses of the site, or that let someone pose as the people who run it, or
# as a source of market data: names of series begin with these, as those of datasets begin with their owner's.
RESERVED_USERNAMES = frozenset(
    """
    about abuse accessibility account accounts admin administrator all alphavantage anonymous api
    assets auth billing binance blog bloomberg board class classes community competition
    competitions contact contest dashboard data dataset datasets deploy developer docs download ecb
    edit embed everyone explore export false favicon feedback frame fred g group guest guests
    healthz help home import info invite jobs join learn legal login logout lseg mail market me
    media mfa mine moderator my nasdaq new news nobody none noreply null oembed official p password
    playground postmaster pricing privacy profile project projects public qfp quant r readyz
    register reset robots root run runner runs search security session sessions settings signin
    signout signup site sitemap staff starter static status styleguide sudo support sweeps synth
    system teach team teams template templates terms tiingo true try u undefined unknown upload
    uploads user username users verify waitlist webmaster well-known ws www yahoo you
    """.split()  # noqa: SIM905 (a page of quotes reads worse)
)


def validate_username(username: str) -> None:
    """Refuse, with a sentence that says what to change, a name that cannot stand in a URL or is kept back."""
    if not USERNAME_PATTERN.fullmatch(username):
        raise ValidationError(
            "Use 1 to 32 letters a-z, digits and single hyphens; start and end with a letter or digit.",
            code="invalid_username",
        )
    if username in RESERVED_USERNAMES:
        raise ValidationError(
            "“%(name)s” is kept for the site. Choose another name.",
            code="reserved_username",
            params={"name": username},
        )


def suggest_username(text: str) -> str:
    """The nearest allowed slug to a text (an address's local part, a name); never reserved, never empty."""
    slug = re.sub(r"-+", "-", slugify(text).replace("_", "-"))[:USERNAME_MAX_LENGTH].strip("-")
    if not slug:
        return "trader"
    if slug in RESERVED_USERNAMES:
        return f"{slug}-1"
    return slug
