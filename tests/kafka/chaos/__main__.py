"""Runs a campaign of faults against real daemons on real brokers, and prints its figures beside their goals.

python -m tests.kafka.chaos --minutes 60 --seed 7 --out FOLDER
python -m tests.kafka.chaos --out FOLDER --resume
python -m tests.kafka.chaos --minutes 5 --faults kill-member,kill-broker --kafka 4.1.1
"""

from __future__ import annotations

import sys

from tests.kafka.chaos.campaign import main

if __name__ == "__main__":
    sys.exit(main())
