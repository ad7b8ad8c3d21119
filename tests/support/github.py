"""GitHub's runner, as far as a step meets it."""


def outputs(text: str) -> dict[str, str]:
    """The outputs in a file, as the runner reads them."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, delimiter = line.split("<<")
        value = list(iter(lambda: next(lines), delimiter))
        found[name] = "\n".join(value)
    return found
