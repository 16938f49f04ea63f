import time


def wait_until(condition, timeout=60, what=None, interval=0.02):
    """Calls condition() until it returns something true, and returns that.

    `what` says in the failure what was waited for; a callable is asked at that moment.
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            told = what() if callable(what) else what or getattr(condition, "__name__", "it")
            raise AssertionError(f"not within {timeout} s: {told}")
        time.sleep(interval)
