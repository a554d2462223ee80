"""A child's side of the pipe to its parent."""

from __future__ import annotations

import logging
import os
import signal
import threading

from eventbus.supervision.processes import PARENT

_log = logging.getLogger("eventbus.supervision.processes")


def end_with_parent() -> None:
    """Ask this process to stop, as SIGTERM does, when the parent that started it is gone.

    Else the children of a killed parent would consume on, with nobody to replace or to stop them; with an
    embedded server, which ends with its owner, they would wait for ever. Does nothing in a process that no
    eventbus parent started.
    """
    descriptor = os.environ.pop(PARENT, "")  # a child of this process is none of that parent's
    if not descriptor.isdigit():
        return
    os.set_inheritable(int(descriptor), False)  # noqa: FBT003 - positional only
    threading.Thread(target=_watch, args=(int(descriptor),), name="eventbus parent", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1):
            pass
    except OSError:
        return
    _log.warning("the parent process is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
