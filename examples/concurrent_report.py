"""A report on every flight that left New York in 2013: many questions, one moment, several connections.

    python -m examples.concurrent_report --help

Creates the tables and loads the data where they are missing, asks all questions at once over one snapshot of the
database, and one at a time for comparison, prints the answers, and writes them as an HTML page with both timelines.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for those who run the file itself
    from examples.flights.command import main

    sys.exit(main())
