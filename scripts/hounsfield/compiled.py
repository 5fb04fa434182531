"""numba's decorators, with a cache that can be written wherever the library lies and whoever runs it."""

from collections.abc import Callable
from typing import Any

import numba

from hounsfield.files import private_folder


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` with a cache."""
    return lambda function: _cached(lambda: numba.njit(cache=True, **options)(function))


def vectorize(function: Callable) -> Callable:
    """`numba.vectorize` with a cache."""
    return _cached(lambda: numba.vectorize(cache=True)(function))


def _cached(decorate: Callable[[], Callable]) -> Callable:
    """The cache lies beside the module or in the user's own; where neither can be written, among temporary files."""
    try:
        return decorate()
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        setattr(numba.config, "CACHE_DIR", str(private_folder() / "numba"))  # noqa: B010 - its stub has no such name
        return decorate()
