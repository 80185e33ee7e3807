"""The exception tree: as drawn, and with one exit code and one HTTP status a kind of trouble."""

import inspect
import re

import pytest

from quintet import errors
from quintet.errors import MissingExtraError, QuintetError, UnknownIdError

CLASSES = {
    name: member
    for name, member in vars(errors).items()
    if inspect.isclass(member) and issubclass(member, QuintetError)
}

#: exit code and HTTP status of each; scripts and clients depend on them
CODES = {
    "QuintetError": (1, 500),
    "ConfigError": (2, 422),
    "RuleConflictError": (2, 422),
    "DataError": (3, 422),
    "ColumnError": (3, 422),
    "EmptyDataError": (3, 422),
    "UnknownIdError": (4, 404),
    "NotFittedError": (5, 503),
    "BundleError": (6, 503),
    "CorruptBundleError": (6, 503),
    "SchemaVersionError": (6, 503),
    "CheckpointError": (7, 500),
    "SourceError": (8, 503),
    "StoreError": (11, 503),
    "StoreBusyError": (11, 503),
    "CorruptStoreError": (11, 503),
    "RequestError": (10, 400),
    "InvalidRequestError": (10, 422),
    "TooLargeError": (10, 413),
    "UnauthorizedError": (10, 401),
    "ForbiddenError": (10, 403),
    "TooManyRequestsError": (10, 429),
    "OverloadedError": (10, 503),
    "MissingExtraError": (9, 501),
}


def drawn_parents() -> dict[str, str]:
    """Class -> parent, as the module's docstring draws the tree."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"[\s│├└─]*(?P<name>\w+Error)\b", line)
        if match is None:
            continue
        column = match.start("name")
        while path and path[-1][0] >= column:
            path.pop()
        parents[match["name"]] = path[-1][1] if path else "Exception"
        path.append((column, match["name"]))
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn_parents() == {
        name: member.__bases__[0].__name__ for name, member in CLASSES.items()
    }


def test_codes() -> None:
    assert {name: (kind.exit_code, kind.http_status) for name, kind in CLASSES.items()} == CODES


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_says_what_it_is(kind: type[QuintetError]) -> None:
    assert (kind.__doc__ or "").strip()
    assert 0 < kind.exit_code < 64  # shells use the codes above
    assert 400 <= kind.http_status < 600


def test_unknown_id_prints_plainly_and_is_a_key_error() -> None:
    assert str(UnknownIdError("item 'x' is not in the catalogue")) == (
        "item 'x' is not in the catalogue"
    )
    assert str(UnknownIdError()) == ""
    assert issubclass(UnknownIdError, KeyError)


def test_missing_extra_names_the_remedy() -> None:
    error = MissingExtraError("the SVD baseline", "baselines")
    assert str(error) == (
        "the SVD baseline needs an optional dependency: pip install 'quintet[baselines]'"
    )
    assert isinstance(error, ImportError)
