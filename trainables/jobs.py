"""Units of work as plain data: what a worker process is handed, and needs nothing else for.

In: nothing. Out: a pretraining stage or a fine-tuning cell that can be pickled, sent to another node and run there.
"""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.config import (
    ComputeConfig,
    DataConfig,
    FinetuneConfig,
    ModelConfig,
    NaturalConfig,
    Section,
    StageConfig,
)
from trainables.failures import reason_of


class StageJob(Section):
    """One pretraining stage of a chain. ``initial`` is a weights string; a parent's encoder is ``file:PATH``."""

    results: Path
    encoders: Path  # the folder of all stages' encoders
    stage_id: str
    name: str
    initial: str
    weights_id: str  # of a weights file from outside, checked where the job runs; of a stage's encoder its id
    initial_name: str
    seed: int
    stage: StageConfig
    model: ModelConfig
    data: DataConfig
    natural: NaturalConfig
    source_id: str  # of the images that the stage learns from, checked where it runs
    compute: ComputeConfig

    def failure(self, error: BaseException, story: str = "") -> dict[str, Any]:
        """Return the failures row of this stage; ``story`` is the traceback where another process raised the error."""
        return _failure(self.stage_id, "stage", self.name, error, story)


class CellJob(Section):
    """One fine-tuning. ``axes`` are the columns that name the cell in every table (``results.AXES``)."""

    results: Path
    axes: dict[str, Any]
    encoder: str
    weights_id: str
    encoder_id: str
    model: ModelConfig
    data: DataConfig
    data_id: str
    finetune: FinetuneConfig
    compute: ComputeConfig

    @property
    def cell_id(self) -> str:
        """The hash of everything that changes the cell's number."""
        return str(self.axes["cell_id"])

    @property
    def name(self) -> str:
        """The cell's axes in one line, for people."""
        axes = self.axes
        epochs = f" @{axes['pretraining_epochs']}" if axes["pretraining_epochs"] else ""
        return f"{axes['arm']}{epochs}, {axes['label_count']} {axes['label_unit']}, seed {axes['train_seed']}"

    def failure(self, error: BaseException, story: str = "") -> dict[str, Any]:
        """Return the failures row of this cell; ``story`` is the traceback where another process raised the error."""
        return _failure(self.cell_id, "cell", self.name, error, story)


def _failure(unit_id: str, unit: str, name: str, error: BaseException, story: str) -> dict[str, Any]:
    return {
        "unit_id": unit_id,
        "unit": unit,
        "name": name,
        "reason": reason_of(error),
        "traceback": story or "".join(traceback.format_exception(error)),
        "failed_at": datetime.now(UTC),
    }
