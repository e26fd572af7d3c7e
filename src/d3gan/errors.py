"""The ways a command may end early that are not faults of the program."""


class UserError(Exception):
    """A mistake that the user can mend: shown as one line, exit status 2.

    The message names what is wrong and what would be right.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Interrupted(Exception):
    """A signal asked to stop; the checkpoint is already written. Exit status 128 + signal."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class ProcessesLost(Exception):
    """Another process of the group ended, or did not answer in time. Exit status 1.

    This process cannot go on alone; what was saved last is kept.
    """
