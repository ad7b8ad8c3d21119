"""The wait as a step of a pipeline engine: thin modules over the library, each with its own extra."""
