"""Values of requests: what an id, a name or a number may be, for models and routes alike."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

LONGEST_ID = 512
MOST_ITEMS = 1000
MOST_EVENTS = 1000
UNSEEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # controls, halves of surrogate pairs


def _clean(value: str | int) -> str | int:
    if isinstance(value, int):
        if not -(2**63) < value < 2**63:
            raise ValueError("a whole number must fit in 64 bits")
        return value
    if not value or len(value) > LONGEST_ID:
        raise ValueError(f"must hold 1 to {LONGEST_ID} characters")
    if value in (".", ".."):  # as part of a path they lead elsewhere
        raise ValueError("must not be '.' or '..'")
    if UNSEEN.search(value):
        raise ValueError("must not hold control characters or half a surrogate pair")
    return value


Id = Annotated[str | int, AfterValidator(_clean)]
TextId = Annotated[str, AfterValidator(_clean)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=4096)]
K = Annotated[int, Field(ge=1, le=MOST_ITEMS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
#: below it, chances of a draw among scores that span 1 would be no numbers: it is none then
COLDEST = 1e-6
Temperature = Annotated[
    Finite,
    Field(ge=0, le=1, description="temperature of the draw; the scores span 1"),
    AfterValidator(lambda given: given if given >= COLDEST else 0.0),
]
