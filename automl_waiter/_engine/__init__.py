"""How waiting is done: coroutines that poll, retry and follow listings, on a small kernel, without clock or AWS."""
