"""The keys of dates: ISO 8601, whatever the words of a text are."""

from __future__ import annotations

import re
from calendar import monthrange

MONTHS = {
    m: n % 12 + 1
    for n, m in enumerate(
        "january february march april may june july august september october november december".split()
    )
}
MONTHS |= {m[:3]: n for m, n in list(MONTHS.items())} | {"sept": 9}


def date_keys(surface: str) -> list[str]:
    """ISO keys of a date, the precise one first and then its month: `8 May, 2023` → `2023-05-08`, `2023-05`."""
    if surface[:4].isdigit() and surface[4:5] == "-":
        return _iso_keys(*map(int, surface.split("-")))
    month = day = year = None
    for part in re.findall(r"\d+|[A-Za-z]{3,}", surface):
        if part.isdigit():
            if len(part) == 4:
                year = int(part)
            else:
                day = int(part)
        elif part.lower() in MONTHS:
            month = MONTHS[part.lower()]
    if month is None:
        return []
    if year is None:
        return [f"--{month:02d}-{day:02d}"] if day and 1 <= day <= 31 else []
    return _iso_keys(year, month, day)


def _iso_keys(year: int, month: int, day: int | None = None) -> list[str]:
    """The day, if there is one, and its month; nothing for a date that no calendar has."""
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= monthrange(max(year, 1), month)[1]):
        return []
    return ([f"{year:04d}-{month:02d}-{day:02d}"] if day else []) + [f"{year:04d}-{month:02d}"]
