"""Ends by a signal that nobody sent: what a script calls a crash."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
