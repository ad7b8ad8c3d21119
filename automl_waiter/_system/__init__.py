"""What the process provides: clocks, threads for calls, the log, callbacks, and what differs between systems."""
