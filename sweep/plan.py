"""The plan: which cells are finished, which are missing, and which pretraining stages the missing ones need.

In: an Experiment, its Inputs and a results folder. Out: jobs. A cell's id is a hash of everything that changes its
number, so a finished cell is never run again and a changed one never reused. A stage that two arms share is one
job.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep.experiment import Experiment
from sweep.grid import GridPoint, base_arm, grid_points
from sweep.inputs import Inputs
from trainables.config import RECIPE_VERSION, StageConfig, content_hash
from trainables.encoder_store import encoder_path
from trainables.jobs import CellJob, StageJob
from trainables.results import SCHEMA_VERSION, chain_after, failed_units, finished_cells, is_there


@dataclass(frozen=True)
class Source:
    """Where a cell's or stage's weights come from: a weights string, or a stage's encoder after some epochs."""

    weights: str
    weights_id: str
    name: str
    stage: "PlannedStage | None" = None
    epoch: int = 0

    @functools.cached_property
    def encoder_id(self) -> str:
        """Hash of the weights, known before they are trained."""
        return content_hash(self.stage.stage_id if self.stage else self.weights_id, self.epoch)

    @functools.cached_property
    def chain(self) -> str:
        """Every stage up to here as ``stage_id@epoch``, with spaces between: what the weights cost."""
        return chain_after(self.stage.source.chain, self.stage.stage_id, self.epoch) if self.stage else ""

    @property
    def exists(self) -> bool:
        """Whether the weights need no training."""
        return self.stage is None or is_there(Path(self.weights.removeprefix("file:")))


@dataclass(frozen=True)
class PlannedStage:
    """A stage and where it starts from."""

    stage_id: str
    name: str
    config: StageConfig
    source: Source
    job: StageJob


@dataclass(frozen=True)
class PlannedCell:
    """A cell and the encoder it starts from."""

    point: GridPoint
    source: Source
    job: CellJob


@dataclass(frozen=True)
class Plan:
    """Everything an experiment asks for, and what of it is still to do. ``stages`` are in an order that can be run."""

    cells: tuple[PlannedCell, ...]
    missing: tuple[PlannedCell, ...]
    stages: tuple[PlannedStage, ...]  # to train now
    failed_before: frozenset[str] = frozenset()  # ids of missing cells whose failure an earlier run recorded
    num_strangers: int = 0  # finished cells of the results folder that are none of these

    @property
    def max_retries(self) -> int:
        """How often a failed unit is tried again."""
        return self.cells[0].job.compute.max_retries

    @property
    def num_finished(self) -> int:
        """Cells that need no work."""
        return len(self.cells) - len(self.missing)

    @property
    def trained_elsewhere(self) -> tuple[StageJob, ...]:
        """Stages of the whole experiment that this plan does not train: they are there already."""
        jobs: dict[str, StageJob] = {}
        for cell in self.cells:
            stage = cell.source.stage
            while stage:
                jobs[stage.stage_id] = stage.job
                stage = stage.source.stage
        for planned in self.stages:
            jobs.pop(planned.stage_id, None)
        return tuple(jobs.values())


def build_plan(experiment: Experiment, inputs: Inputs, results: Path) -> Plan:
    """Compare what the experiment asks for with what the results folder holds."""
    stages: dict[str, PlannedStage] = {}
    sources: dict[tuple[str, int, int], Source] = {}  # of all cells that share one, in grids of thousands of cells
    protocol = _protocol_id(experiment, inputs)
    cells = []
    for point in grid_points(experiment):
        key = point.arm, point.pretraining_epochs, point.pretraining_seed
        if key not in sources:
            sources[key] = _source(experiment, inputs, results, point, stages)
        cells.append(_planned_cell(experiment, inputs, results, point, sources[key], protocol))
    finished = finished_cells(results)
    missing = [cell for cell in cells if cell.job.cell_id not in finished]
    kept = _epochs_to_keep(missing)
    needed = _stages_to_train(missing)
    failed = failed_units(results).intersection(cell.job.cell_id for cell in missing)
    strangers = len(finished.difference(cell.job.cell_id for cell in cells))
    return Plan(tuple(cells), tuple(missing), tuple(_keeping(stage, kept) for stage in needed), failed, strangers)


def _source(
    experiment: Experiment,
    inputs: Inputs,
    results: Path,
    point: GridPoint,
    stages: dict[str, PlannedStage],
) -> Source:
    """Walk an arm's chain from its initial weights to the encoder of its last stage."""
    config, epochs = experiment.arms[point.arm], point.pretraining_epochs
    source = Source(config.weights, inputs.weights_ids[config.weights], config.weights)
    for position, name in enumerate(config.stages):
        stage_config = experiment.stages[name]
        is_last = position == len(config.stages) - 1
        length = epochs if is_last and epochs else stage_config.epochs
        if is_last and epochs and stage_config.schedule == "per_length":
            stage_config = stage_config.model_copy(update={"epochs": epochs, "milestones": (epochs,)})
        stage = _planned_stage(experiment, inputs, results, name, stage_config, source, point.pretraining_seed)
        stage = stages.setdefault(stage.stage_id, stage)
        path = encoder_path(stage.job.encoders, stage.stage_id, length)
        source = Source(f"file:{path}", stage.stage_id, f"{source.name} > {name}@{length}", stage, length)
    return source


def _planned_stage(
    experiment: Experiment,
    inputs: Inputs,
    results: Path,
    name: str,
    config: StageConfig,
    source: Source,
    seed: int,
) -> PlannedStage:
    recipe = config.model_dump(mode="json", exclude={"milestones", "schedule", "probe_every_epochs"})
    source_id = inputs.natural_id if config.data == "natural" else inputs.pool_id
    assert source_id is not None
    workers = experiment.compute.pretraining_workers
    network = experiment.model.model_dump(include=_pretrained_parts(config))
    stage_id = content_hash(recipe, source.encoder_id, source_id, network, seed, workers, RECIPE_VERSION)
    job = StageJob(
        results=results,
        encoders=encoders_folder(experiment, results),
        stage_id=stage_id,
        name=name if source.stage is None else f"{source.stage.name}+{name}",
        initial=source.weights,
        weights_id=source.weights_id,
        initial_name=source.name,
        seed=seed,
        stage=config,
        model=experiment.model,
        data=experiment.data,
        natural=experiment.natural,
        source_id=source_id,
        compute=experiment.compute,
    )
    return PlannedStage(stage_id, job.name, config, source, job)


def _pretrained_parts(config: StageConfig) -> set[str]:
    """The settings of the network that a stage's weights depend on; few methods pretrain a decoder."""
    from trainables.objectives import keeps_decoder  # brings torch

    return {"encoder", "width"} | ({"decoder_channels"} if keeps_decoder(config) else set())


def _protocol_id(experiment: Experiment, inputs: Inputs) -> str:
    """Hash of what all cells share."""
    recipe = (
        inputs.data_id,
        experiment.data.label_unit,
        inputs.label_draw,
        experiment.data.validation_slices,
        experiment.model,
    )
    return content_hash(*recipe, experiment.finetune.identity, SCHEMA_VERSION, RECIPE_VERSION)


def _planned_cell(
    experiment: Experiment, inputs: Inputs, results: Path, point: GridPoint, source: Source, protocol: str
) -> PlannedCell:
    schedule = source.stage.config.schedule if source.stage else "none"
    order = inputs.order_ids[point.subset_seed]
    point_id = (source.encoder_id, schedule, point.arm, point.label_count, order, point.subset_seed, point.train_seed)
    axes: dict[str, Any] = {
        "cell_id": content_hash(protocol, *point_id),
        "protocol_id": protocol,
        "arm": point.arm,
        "base_arm": base_arm(experiment, point.arm),
        "pretraining_epochs": point.pretraining_epochs,
        "pretraining_chain": source.chain,
        "pretraining_schedule": schedule,
        "pretraining_seed": point.pretraining_seed,
        "label_count": point.label_count,
        "label_unit": experiment.data.label_unit,
        "subset_seed": point.subset_seed,
        "train_seed": point.train_seed,
    }
    job = CellJob(
        results=results,
        axes=axes,
        encoder=source.weights,
        weights_id=source.weights_id,
        encoder_id=source.encoder_id,
        model=experiment.model,
        data=experiment.data,
        data_id=inputs.data_id,
        finetune=experiment.finetune,
        compute=experiment.compute,
    )
    return PlannedCell(point, source, job)


def encoders_folder(experiment: Experiment, results: Path) -> Path:
    """Return where the encoders of all stages lie."""
    return experiment.compute.encoders or results / "encoders"


def _stages_to_train(cells: Iterable[PlannedCell]) -> list[PlannedStage]:
    """Stages whose encoders the cells need and that do not exist yet, each after those it starts from."""
    needed: dict[str, PlannedStage] = {}

    def visit(source: Source) -> None:
        stage = source.stage
        if stage is None or stage.stage_id in needed or source.exists:
            return
        visit(stage.source)
        needed[stage.stage_id] = stage

    for cell in cells:
        visit(cell.source)
    return list(needed.values())


def _epochs_to_keep(cells: Iterable[PlannedCell]) -> Mapping[str, set[int]]:
    """Epochs of each stage whose encoder some cell or later stage starts from."""
    kept: dict[str, set[int]] = {}
    for cell in cells:
        source: Source | None = cell.source
        while source and source.stage:
            kept.setdefault(source.stage.stage_id, set()).add(source.epoch)
            source = source.stage.source
    return kept


def _keeping(stage: PlannedStage, kept: Mapping[str, set[int]]) -> PlannedStage:
    """The stage with all the epochs that are needed of it as milestones."""
    epochs = tuple(sorted(kept[stage.stage_id] | {stage.config.epochs}))
    config = stage.config.model_copy(update={"milestones": epochs})
    return replace(stage, config=config, job=stage.job.model_copy(update={"stage": config}))
