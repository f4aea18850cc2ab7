"""A plan's forecast, or the reason why there is none.

In: an Experiment, its Plan and Inputs, the launcher. Out: a Forecast for this machine, or for ``compute.slots`` of a
cluster that is larger; none for a joined cluster without them, whose nodes are not known yet. A run of its own accord
calibrates only where that takes little of it.
"""

import torch

from sweep.costs.calibration import CalibrationError, calibrate, work_share
from sweep.costs.finished_units import read_finished_units
from sweep.costs.forecast import Forecast, forecast
from sweep.costs.time_left import Room
from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.on_ray.shares import LOCAL, LaunchError, Resources, cluster_address, divide
from sweep.plan import Plan
from trainables.data.parallel import available_cores

MOST_OF_RUN = 0.02  # that calibrating may take of a run that did not ask for it


def estimate(experiment: Experiment, plan: Plan, inputs: Inputs, launcher: str, is_asked: bool) -> Forecast | str:
    """Return the forecast, or why there is none. ``is_asked``: whatever it costs."""
    if not plan.missing:
        return "nothing to run"
    try:
        room, devices_per_cell = _room(experiment, launcher)
    except LaunchError as error:
        return str(error)
    seen = read_finished_units(experiment, plan)
    if not is_asked and (share := work_share(experiment, plan, inputs, seen)) > MOST_OF_RUN:
        return f"timing a few steps would be {share:.0%} of the work of this run; --dry-run does it"
    try:
        costs = calibrate(experiment, plan, inputs, seen)
    except CalibrationError as error:
        return f"{error}; finished cells of the same protocol would be believed instead"
    return forecast(experiment, plan, inputs, costs, room, devices_per_cell, _device(experiment))


def _device(experiment: Experiment) -> str:
    threads = experiment.compute.threads
    process = f"CPU process of {threads} {'thread' if threads == 1 else 'threads'}"
    return f"of a {'GPU' if _on_gpu(experiment) else process} of this machine"


def _on_gpu(experiment: Experiment) -> bool:
    choice = experiment.compute.device
    return choice == "cuda" or (choice == "auto" and torch.cuda.is_available())


def this_machine() -> Resources:
    """Return what this machine has, by Ray's names."""
    return {"CPU": float(available_cores()), "GPU": float(torch.cuda.device_count())}


def _room(experiment: Experiment, launcher: str) -> tuple[Room, float]:
    """Return what runs at once and the devices that a cell takes.

    Raises LaunchError where the plan does not fit, or where nothing is known of what a joined cluster has.
    """
    if launcher == "serial":
        return Room(1, 1, 1), 1.0
    compute, address = experiment.compute, cluster_address(experiment.compute)
    if compute.slots is None and address != LOCAL:
        raise LaunchError(
            f"the nodes of the cluster at {address} are not known before it is joined; --dry-run with "
            "compute.slots=N forecasts N cells at once"
        )
    nodes = [this_machine()] if address == LOCAL else []
    timed_on = compute.model_copy(update={"device": "cuda" if _on_gpu(experiment) else "cpu"})
    shares = divide(timed_on, nodes, is_fixed=compute.slots is None)  # slots may be a larger cluster's
    return shares.room, shares.gpus_per_cell or 1.0
