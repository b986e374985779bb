"""The checks, an area a module; importing this package registers them in the order in which they run."""

from __future__ import annotations

from hardware.conformance.checks import (  # isort: skip  # the order of a card's life, and of the page
    transport as transport,
    reading as reading,
    personalise as personalise,
    policy as policy,
    pin as pin,
    pay as pay,
    ask as ask,
    collect as collect,
    resend as resend,
    endings as endings,
    grants as grants,
    precedence as precedence,
    messages as messages,
    power as power,
    channel as channel,
    lifecycle as lifecycle,
)
