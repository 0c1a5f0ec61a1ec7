"""An event loop whose clock jumps to the next timer: hours of waiting pass at once."""

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits; adds up the time for which it was told to."""

    waited = 0.0

    def select(self, timeout=None):
        if timeout:
            self.waited += timeout
        return super().select(0 if timeout is not None else None)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For coroutines that wait for timers only; what comes from outside has no time to arrive."""

    def __init__(self):
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.waited


def run_in_virtual_time(coroutine):
    """Run to the end and return the result, and the virtual seconds that it took."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        result = runner.run(coroutine)
        return result, runner.get_loop().time()
