"""Cases written packet by packet, and small logs where only logs can say it. Run by `make/run`."""
import sys

from case import run
import web, names, ways, hour, known, learned, leaks  # noqa: F401: they register their cases

run(sys.argv[1:])
