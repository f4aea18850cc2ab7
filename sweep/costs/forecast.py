"""What a plan will cost, by arm and in all: device-hours, time on the clock, disk, money.

In: an Experiment, its Plan and Inputs, what units cost, how much runs at once. Out: a Forecast. A stage that arms share
is counted once in all, and in each arm that needs it: an arm's figure is what it would cost alone.
"""

from dataclasses import dataclass

from sweep.costs.calibration import Costs
from sweep.costs.forecast_file import KeptForecast
from sweep.costs.storage import sizes, stage_bytes
from sweep.costs.time_left import Encoder, Room, Work, replicates, stage_work, wall_seconds
from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.plan import Plan, PlannedCell, PlannedStage, Source
from sweep.state.counts import Expectation


@dataclass(frozen=True)
class Share:
    """What an arm, or the whole plan, costs: cells to run, device-seconds of both kinds, bytes."""

    name: str
    num_cells: int
    pretraining_seconds: float
    finetuning_seconds: float
    num_bytes: int

    @property
    def device_seconds(self) -> float:
        """Both kinds together."""
        return self.pretraining_seconds + self.finetuning_seconds


@dataclass(frozen=True)
class Forecast:
    """What is missing, priced. ``arms`` overlap in the stages that they share, ``total`` counts each once."""

    arms: tuple[Share, ...]
    total: Share
    wall_seconds: float  # start-up of processes left out but for stages'
    slots: int
    device: str  # what a device is
    basis: str  # how a cell's seconds are known
    cell_seconds: float  # device-seconds of one cell
    epoch_seconds: dict[str, float]  # device-seconds of an epoch of each stage
    expectation: Expectation
    price: float | None  # of a device-hour
    begun: frozenset[str]  # the protocol and stages that had rows already
    is_most: bool  # cells count their whole budget, and may stop before

    def cost(self, share: Share) -> float | None:
        """Return the price of a share; None without a price of a device-hour."""
        return None if self.price is None else self.price * share.device_seconds / 3600


def forecast(
    experiment: Experiment, plan: Plan, inputs: Inputs, costs: Costs, room: Room, devices_per_cell: float, device: str
) -> Forecast:
    """Price what is missing. ``devices_per_cell``: 1, or the share of a GPU that a cell takes."""
    cell = costs.cell_seconds * devices_per_cell
    stages = {stage.stage_id: costs.stage_seconds(stage.stage_id) for stage in plan.stages}
    found, num_channels = sizes(experiment, inputs), len(inputs.summary["channel_names"])

    def share(name: str, cells: list[PlannedCell], needed: list[PlannedStage]) -> Share:
        encoders = sum(stage_bytes(stage, found, num_channels) for stage in needed)
        seconds = sum(stages[stage.stage_id] for stage in needed)
        return Share(name, len(cells), seconds, cell * len(cells), len(cells) * found.cell + encoders)

    by_arm: dict[str, list[PlannedCell]] = {}
    for each in plan.missing:
        by_arm.setdefault(each.point.arm, []).append(each)
    expectation = _expectation(experiment, plan, costs)
    return Forecast(
        arms=tuple(share(arm, cells, _needed_stages(cells, plan)) for arm, cells in by_arm.items()),
        total=share("all", list(plan.missing), list(plan.stages)),
        wall_seconds=wall_seconds(_work(plan, costs, expectation), room),
        slots=room.slots,
        device=device,
        basis=costs.basis,
        cell_seconds=cell,
        epoch_seconds=dict(costs.epoch_seconds),
        expectation=expectation,
        price=experiment.compute.price_per_device_hour,
        begun=costs.begun,
        is_most=costs.is_most,
    )


def _needed_stages(cells: list[PlannedCell], plan: Plan) -> list[PlannedStage]:
    """The stages of the plan behind these cells, each once."""
    wanted: set[str] = set()
    for cell in cells:
        source = cell.source
        while source.stage:
            wanted.add(source.stage.stage_id)
            source = source.stage.source
    return [stage for stage in plan.stages if stage.stage_id in wanted]


def _expectation(experiment: Experiment, plan: Plan, costs: Costs) -> Expectation:
    """What units take on the clock: the workers of a stage share its samples."""
    workers = experiment.compute.pretraining_workers
    epochs = {stage.stage_id: costs.epoch_seconds[stage.stage_id] / workers for stage in plan.stages}
    return Expectation(costs.cell_seconds, epochs)


def _work(plan: Plan, costs: Costs, expected: Expectation) -> Work:
    own = {stage.stage_id for stage in plan.stages}

    def encoder(source: Source) -> Encoder | None:
        is_missing = source.stage is not None and source.stage.stage_id in own and not source.exists
        return (source.stage.stage_id, source.epoch) if source.stage and is_missing else None

    cells: dict[Encoder | None, float] = {}
    for cell in plan.missing:
        cells[encoder(cell.source)] = cells.get(encoder(cell.source), 0.0) + 1
    stages, replicate = [], replicates({stage.stage_id: stage.job.seed for stage in plan.stages})
    for stage in plan.stages:
        key, config = stage.stage_id, stage.config
        done, seconds = config.epochs - costs.epochs_left[key], expected.epoch_seconds[key]
        parent = encoder(stage.source)
        stages.append(stage_work(key, parent, config.kept_epochs, done, seconds, False, replicate[key]))
    return Work(stages, cells, costs.cell_seconds)


def kept(found: Forecast, plan: Plan) -> KeptForecast:
    """Return what the account compares with afterwards: nothing of what has begun, which would forecast itself."""
    protocol = plan.cells[0].job.axes["protocol_id"]
    cells = {} if protocol in found.begun else {protocol: found.cell_seconds}
    return KeptForecast(cells, {key: each for key, each in found.epoch_seconds.items() if key not in found.begun})
