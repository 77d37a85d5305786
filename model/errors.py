"""Errors of the model that its operator can cause and cure. Any other exception from `model/` is a bug in logwarden.

ModelError                the operator must change a path, a file or a device name
├── ModelMissing          a directory or a file is not there; also a FileNotFoundError
├── ModelUnreadable       a file is damaged, forbidden or of another format; also a ValueError
├── ModelMismatch         two parts of one model do not fit together; also a ValueError
└── DeviceUnavailable     PyTorch does not know the device or cannot use it here; also a ValueError

The second base class of each keeps a promise of the Python API, which named FileNotFoundError and ValueError first.
Every message is one line that names the thing at fault and the action to take.
"""


class ModelError(Exception):
    """The configured model cannot be used. The message is one complete sentence."""


class ModelMissing(ModelError, FileNotFoundError):
    """A model directory, a line encoder or one of their files does not exist."""


class ModelUnreadable(ModelError, ValueError):
    """A file of the model exists and cannot be read as what its name promises."""


class ModelMismatch(ModelError, ValueError):
    """The head and the line encoder are each readable, but the head was trained on another encoder width."""


class DeviceUnavailable(ModelError, ValueError):
    """A device name that PyTorch does not know, or a device that this machine does not have."""
