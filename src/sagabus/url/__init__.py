"""URLs of stores: taken apart so that nothing secret is shown, and the adapters that other packages bring for them."""

from sagabus.url.parsing import (
    FORMS,
    MYSQL,
    POSTGRES,
    StoreUrl,
    may_hold_a_password,
    parsed,
    scheme_of,
    shown,
    with_option,
    without,
)

__all__ = [
    "FORMS",
    "MYSQL",
    "POSTGRES",
    "StoreUrl",
    "may_hold_a_password",
    "parsed",
    "scheme_of",
    "shown",
    "with_option",
    "without",
]
