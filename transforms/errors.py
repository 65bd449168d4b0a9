"""The expected errors, one tree.

    HarmonizeError
    |- ManifestError    a manifest, or one of its rows, cannot be read
    |- DecodeError      bytes are not an image that can be read
    |- ShapeError       arrays do not fit each other, or have a shape or dtype that the function does not take
    |- SizeError        an image is too large or too small
    |- LabelError       the class of a foreground is unknown, or missing
    |- WeightsError     a weights file is missing, broken or made for another network
    |- BeamOptionsError Beam's options cannot be used as they are: bad usage
    |- JobFailed        a job could not be started, or ended before it was done
    |- WorkerDied       a worker process of a local run was killed or crashed
    |- CrashError       processes died while working on a pair
    |- VersionError     two processes, or this program and its compiled library, are not of one version
    |- StorageError     a file cannot be read or written
    |  `- OutputError   nothing can be written or read any more, so the run cannot go on
    `- DatasetError     a training or evaluation data set is incomplete

A message names the file, the offending value and the remedy. Commands show it without a traceback, and the pipeline
turns it into one failure row. Every other exception is a bug and stops the run.
"""


class HarmonizeError(Exception):
    """Root of every expected error; catch this one at the edges only."""


class ManifestError(HarmonizeError):
    """A manifest, or one of its rows, cannot be read."""


class DecodeError(HarmonizeError):
    """Bytes are not an image that can be read."""


class ShapeError(HarmonizeError):
    """Arrays do not fit each other, or have a shape or dtype that the function does not take."""


class SizeError(HarmonizeError):
    """An image is too large or too small."""


class LabelError(HarmonizeError):
    """The class of a foreground is unknown, or missing."""


class WeightsError(HarmonizeError):
    """A weights file is missing, broken or made for another network."""


class BeamOptionsError(HarmonizeError):
    """Beam's options cannot be used as they are; the command calls it bad usage."""


class JobFailed(HarmonizeError):
    """A job could not be started, or ended before it was done."""


class WorkerDied(HarmonizeError):
    """A worker process of a local run was killed or crashed."""


class CrashError(HarmonizeError):
    """Processes died while working on a pair."""


class VersionError(HarmonizeError):
    """Two processes that must run the same versions do not, or the compiled library is from another version."""


class StorageError(HarmonizeError):
    """A file cannot be read or written."""


class OutputError(StorageError):
    """Nothing can be written or read any more, so the run must stop.

    The disk is full or read-only, the bucket refuses, or the store is dead.
    """


class DatasetError(HarmonizeError):
    """A training or evaluation data set is incomplete."""
