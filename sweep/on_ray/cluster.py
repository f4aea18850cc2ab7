"""Ray on this machine, or a cluster that is joined: how it is started, and what nodes it has.

In: what an experiment asks for, and the cluster's address. Out: how it is divided, for as long as this run is
connected; LaunchError where it cannot be reached.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from sweep.on_ray.shares import LOCAL, LaunchError, Resources, Shares, cluster_address, divide
from trainables.config import ComputeConfig
from trainables.failures import first_line

ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would start every worker through uv
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # paces reports: 2 s otherwise
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without a GPU sees none
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",  # after Ctrl-C a running cell is abandoned, not waited for
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours sees Ctrl-C first
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # six files a trial
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # they stand in the failures table
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a table even when asked for silence
}


@contextlib.contextmanager
def connected(compute: ComputeConfig) -> Iterator[Shares]:
    """Start Ray on this machine, or join a running cluster; yield how it is divided."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    import trainables.ray_adapters  # noqa: F401  # here, since Ray's modules cannot be imported by two threads at once

    address = cluster_address(compute)
    is_local = address == LOCAL
    options: dict[str, Any] = {"include_dashboard": False} if is_local else {"runtime_env": {"env_vars": ENVIRONMENT}}
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # of a start that took too long, Ray raises no class of its own
        ray.shutdown()
        reason = first_line(error)
        if is_local:
            remedy = "run the command again on a less busy machine, or without Ray by --launcher serial"
            raise LaunchError(f"Ray did not start on this machine ({reason}); {remedy}") from error
        raise LaunchError(f"no Ray cluster at {address} ({reason}); start it, or unset RAY_ADDRESS") from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what breaks there is ours to tell, in one line
    try:
        yield divide(compute, present_nodes(), is_fixed=is_local)
    finally:
        ray.shutdown()


def present_nodes() -> list[Resources]:
    """Return what each node of the cluster has, used or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _reach(address: str) -> None:
    """Raise OSError at once where nobody listens at host:port: Ray itself would try for many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()
