"""The errors a user can meet. Each message names the value found, what was expected, and the mend."""


class PushforwardError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(PushforwardError, ValueError):
    """Points, settings or names that cannot be used: NaN, wrong shape or dtype, unknown key."""


class DataError(PushforwardError, RuntimeError):
    """A data set that is missing, truncated, altered, or in a form that its recipe does not expect."""


class CheckpointError(PushforwardError, RuntimeError):
    """A saved flow or training state that is missing, corrupt, foreign, or of another specification."""


class NotConverged(PushforwardError, RuntimeError):
    """An iteration that ended above its tolerance."""


class NotInvertible(PushforwardError, RuntimeError):
    """A map that stopped being a bijection: determinant not positive, round trip open, integral not one."""


class NonFinite(PushforwardError, FloatingPointError):
    """A loss or a density that is NaN or infinite; the message prints its terms."""
