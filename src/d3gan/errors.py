"""Exceptions that end a command and are not errors of the program."""


class UserError(Exception):
    """A mistake that the user can correct; printed in one line, exit status 2.

    The message names what is wrong and what would be right.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Diverged(UserError):
    """A loss or a weight became infinite or not a number; the last good checkpoint is kept."""


class Interrupted(KeyboardInterrupt):
    """A signal (Ctrl-C) stopped the run after its checkpoint was written; exit status 128 + signal.

    It is a KeyboardInterrupt, so that ``except Exception`` does not take it for a failure.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class ProcessesLost(Exception):
    """Another process of the group ended, or did not answer in time. Exit status 1.

    The remaining processes cannot continue; the last checkpoint is kept.
    """
