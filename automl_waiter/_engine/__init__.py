"""The wait itself: coroutines that poll, retry and follow listings on a small kernel, without a clock or AWS."""
