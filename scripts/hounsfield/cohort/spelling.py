"""Names that may be one: they differ only in case or in zeros before a number, and nobody but the user can tell."""

from collections.abc import Iterable

import pandas as pd

from hounsfield.cohort.sources import folded_name
from hounsfield.errors import TableError


def aligned(names: Iterable[str], known: Iterable[str], policy: str, what: str) -> list[str]:
    """`names` in the spelling of `known`, where they differ from one of them only in case or leading zeros.

    policy: cohort.similar_names: `stop`, `same`, or `different`, which leaves them as they are. what: of the message.
    Raises TableError where it says to stop.
    """
    names, known = list(names), set(known)
    strangers = set(names) - known
    if not strangers or policy == "different":
        return names
    spelled: dict[str, list[str]] = {}
    for name in known:
        spelled.setdefault(folded_name(name), []).append(name)
    meant = {name: min(spelled[folded_name(name)]) for name in strangers if folded_name(name) in spelled}
    if meant and policy == "stop":
        first = min(meant)
        raise TableError(_told(what, first, meant[first], len(meant)))
    return [meant.get(name, name) for name in names]


def unified(names: pd.Series, policy: str, what: str) -> pd.Series:
    """`names` with one spelling for those that differ only in case or leading zeros; arguments as of `aligned`.

    Raises TableError where it says to stop.
    """
    spelled: dict[str, list[str]] = {}
    for name in sorted(names.unique()):
        spelled.setdefault(folded_name(name), []).append(name)
    several = [group for group in spelled.values() if len(group) > 1]
    if not several or policy == "different":
        return names
    if policy == "stop":
        raise TableError(_told(what, several[0][0], several[0][1], len(several)))
    return names.map({name: group[0] for group in spelled.values() for name in group})


def _told(what: str, one: str, other: str, count: int) -> str:
    more = f" ({count} such names)" if count > 1 else ""
    return (
        f"{what} {one!r} and {other!r} differ only in case or leading zeros{more}; "
        "set cohort.similar_names to same or different"
    )
