"""How well the waiter waits, and what it costs: `python -m benchmarks`, with the extra `[bench]`."""
