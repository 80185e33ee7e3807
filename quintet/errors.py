"""Every error that quintet raises on purpose.

::

    QuintetError
    ├── ConfigError            a setting is unknown or out of range
    │   └── RuleConflictError  rules of a slate that cannot hold together
    ├── DataError              a table, column or row cannot be used as given
    │   ├── ColumnError        a column is missing, doubled or of the wrong type
    │   └── EmptyDataError     nothing is left to work with
    ├── UnknownIdError         an id that the catalogue or the log does not hold
    ├── NotFittedError         asked of a model before fit() or load()
    ├── BundleError            a saved model cannot be read
    │   ├── CorruptBundleError a file is missing, truncated or altered
    │   └── SchemaVersionError written by a version that this one does not read
    ├── CheckpointError        a training checkpoint does not belong to this run
    ├── SourceError            a data source cannot be reached or verified
    ├── StoreError             a journal cannot be opened, read or written
    │   ├── StoreBusyError     more waits to be written than the queue holds
    │   └── CorruptStoreError  what stands in it does not match its checksums
    ├── RequestError           the service refuses a request
    │   ├── InvalidRequestError   its body or its parameters cannot be used
    │   ├── TooLargeError         a body is larger than the service takes
    │   ├── UnauthorizedError     no valid key came with it
    │   ├── ForbiddenError        the key lacks the scope
    │   ├── TooManyRequestsError  the key's rate or quota is used up
    │   └── OverloadedError       more is asked at once than can be answered
    └── MissingExtraError      an optional dependency is not installed

Each class carries the exit code of the command line and the status of the HTTP service, so that the
three surfaces never disagree about what kind of trouble it is.
"""

from __future__ import annotations

from typing import ClassVar


class QuintetError(Exception):
    """Base of all errors that quintet raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class ConfigError(QuintetError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 2
    http_status = 422


class RuleConflictError(ConfigError):
    """No slate keeps all the rules that hold for a request; names those that clash."""


class DataError(QuintetError):
    """A table, a column or a row cannot be used as given."""

    exit_code = 3
    http_status = 422


class ColumnError(DataError):
    """A column is missing, stands twice or holds values of the wrong type."""


class EmptyDataError(DataError):
    """Nothing is left to work with, after reading or after cleaning."""


class UnknownIdError(QuintetError, KeyError):
    """An id that the catalogue or the log does not hold."""

    exit_code = 4
    http_status = 404

    def __str__(self) -> str:  # KeyError would print the message in quotes
        return str(self.args[0]) if self.args else ""


class NotFittedError(QuintetError):
    """The model was asked for an answer before ``fit`` or ``load``."""

    exit_code = 5
    http_status = 503


class BundleError(QuintetError):
    """A saved model cannot be read."""

    exit_code = 6
    http_status = 503


class CorruptBundleError(BundleError):
    """A file of the bundle is missing, truncated or altered."""


class SchemaVersionError(BundleError):
    """The bundle was written by a version that this one does not read."""


class CheckpointError(QuintetError):
    """A training checkpoint is damaged or belongs to another run."""

    exit_code = 7


class SourceError(QuintetError):
    """A data source cannot be reached, or its checksum does not match."""

    exit_code = 8
    http_status = 503


class StoreError(QuintetError):
    """A journal cannot be opened, read or written; nothing of the call is acknowledged."""

    exit_code = 11
    http_status = 503


class StoreBusyError(StoreError):
    """More waits to be written than the queue holds; try again later."""


class CorruptStoreError(StoreError):
    """What stands in a journal, a key store or a backup does not match its checksums."""


class RequestError(QuintetError):
    """The service refuses a request.

    Attributes:
        retry_after: seconds after which it may be tried again; None where that would not help.
    """

    exit_code = 10
    http_status = 400

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidRequestError(RequestError):
    """A body or a parameter cannot be used; the message never repeats what was sent."""

    http_status = 422


class TooLargeError(RequestError):
    """A body is larger than the service takes."""

    http_status = 413


class UnauthorizedError(RequestError):
    """No key came with the request, or none that is valid."""

    http_status = 401


class ForbiddenError(RequestError):
    """The key lacks the scope that the route asks for."""

    http_status = 403


class TooManyRequestsError(RequestError):
    """The key's rate or its quota is used up."""

    http_status = 429


class OverloadedError(RequestError):
    """More is asked at once than the service can answer in time."""

    http_status = 503


class MissingExtraError(QuintetError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 9
    http_status = 501

    def __init__(self, what: str, extra: str, command: str | None = None) -> None:
        line = command if command is not None else f"pip install 'quintet[{extra}]'"
        super().__init__(f"{what} needs an optional dependency: {line}")
