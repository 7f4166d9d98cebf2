"""Which threads give way to the event loop: those that compute for long without the interpreter's lock.

All of them work for somebody who waits, but the loop alone can answer him. On one core a thread that computes takes
half of what the loop needs whenever both want it; requests then wait unread, and deadlines pass unseen.
"""

import os
import sys
import threading

TEXTS = 5  # steps: three quarters of a core for the loop if it wants them, all of it for the thread if not
LOADING = 10  # nine tenths of it


def give_way(steps: int) -> None:
    """The thread that calls this comes after the others from now on, and so do those that it starts."""
    if sys.platform == "linux":  # where threads have priorities of their own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + steps)
