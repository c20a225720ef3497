"""The errors a user can cause or meet, each with its exit code.

A message is one line: what was found, what was expected, what to do.
"""


class PlainfilmError(Exception):
    """The common ancestor; never raised itself."""

    exit_code = 2


class UsageError(PlainfilmError):
    """The options of the command do not fit together."""


class ConfigError(PlainfilmError):
    """A config file or option has an invalid value; all faults are listed at once."""


class DataError(PlainfilmError):
    """The images, the table or the split cannot be used as they are."""


class SealError(PlainfilmError):
    """The ledger of test-set accesses, or the test set itself, has changed."""


class GateError(PlainfilmError):
    """The work ran, but a check failed."""

    exit_code = 1


class MissingError(PlainfilmError):
    """Something that must be fetched or installed first is not there."""

    exit_code = 3


class OccupiedError(PlainfilmError):
    """The output exists already, or another process is writing it."""

    exit_code = 4


class TrainingError(PlainfilmError):
    """Training failed."""

    exit_code = 5


class DivergedError(TrainingError):
    """The loss is no longer a number."""


class PrunedError(PlainfilmError):
    """A training was ended early since other trials of its study were better by then; the study goes on."""


class RunsFailedError(PlainfilmError):
    """Some runs of an experiment did not finish; the exit code is the one that they share, or 5."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StoppedError(PlainfilmError):
    """The work stopped as requested and can be resumed; the message says how."""

    exit_code = 130


class BundleError(PlainfilmError):
    """A bundle is damaged, incomplete, or not what its manifest says; nothing was loaded from it."""
