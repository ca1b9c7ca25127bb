"""Jobs in the background of a shell ignore Ctrl-C, as what they start does: not so with tests."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
