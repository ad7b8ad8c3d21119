"""What the process provides: clocks, threads for calls, the log, and the user's callbacks."""
