"""The systems that the lab can record, by name. One module each, behind `scenario.System`."""

from collections.abc import Callable, Mapping

from training.faultlab.scenario import System
from training.faultlab.systems.postgres import Postgres

# Built with the seed of the run.
SYSTEMS: Mapping[str, Callable[[int], System]] = {"postgres": Postgres}
