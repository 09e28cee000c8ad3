"""The benchmark: this service beside what one would take instead, on one machine, in one run."""
