"""The wait as a step of the engines that run pipelines: thin modules over the library, each with its own extra."""
