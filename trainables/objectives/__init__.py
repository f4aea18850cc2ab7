"""Pretraining objectives, one per file, and the registry that a stage's ``objective`` names.

An objective owns its networks and turns a batch into a loss. This package is the home of lightly.
"""

from trainables.objectives.byol import BYOL
from trainables.objectives.contract import Objective, Step
from trainables.objectives.supervised import Supervised

OBJECTIVES: dict[str, type[Objective]] = {"byol": BYOL, "supervised": Supervised}

__all__ = ["BYOL", "OBJECTIVES", "Objective", "Step", "Supervised"]
