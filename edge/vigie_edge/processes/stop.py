"""How a child is told to stop."""

import signal


class StopFlag:
    """Set by SIGTERM. SIGINT is the supervisor's: it tells its children itself."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        let_signals_in()

    def _set(self, _signal: int, _frame: object) -> None:
        self.asked = True


def let_signals_in() -> None:
    """A child is forked with its signals held back until its handlers stand; from here on they come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))


def leave_in_order() -> None:
    """All is done: who tells us to stop from here on gets the exit code of an end in order, not of a signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
