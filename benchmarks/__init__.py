"""Speed, memory and size of HEARTH beside what one would otherwise use, measured in one run."""
