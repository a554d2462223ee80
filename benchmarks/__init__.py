"""How fast the bus is, beside other libraries on the same machine: `make bench`, or `python -m benchmarks --help`."""
