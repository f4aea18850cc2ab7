"""The experiment: one typed, frozen tree of everything that a run depends on.

In: a preset's name or a YAML file, and ``key.path=value`` overrides. Out: an Experiment that is valid as far as can
be known without reading data. Unknown keys are refused with the nearest valid name.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from sweep.names import check_names, nearest
from sweep.overrides import OverrideError, apply_overrides
from trainables.config import (
    ComputeConfig,
    DataConfig,
    FinetuneConfig,
    ModelConfig,
    NaturalConfig,
    Section,
    Seed,
    StageConfig,
    in_home,
    mistakes,
)
from trainables.setting_yaml import read_settings


class ExperimentError(Exception):
    """A preset, file or override that makes no experiment; the message says what was expected, found and where."""


class ArmConfig(Section):
    """One way to an encoder: initial weights, then stages in order."""

    weights: str = "random"
    stages: tuple[str, ...] = ()


class GridConfig(Section):
    """The axes of the grid. Pretraining epochs are the milestones of each arm's last stage."""

    arms: tuple[str, ...] = ()  # none takes all arms
    label_counts: tuple[int, ...] = Field(min_length=1)
    subset_seeds: tuple[Seed, ...] = Field(min_length=1)  # which slices are labelled
    intermediate_label_counts: tuple[int, ...] | None = None  # where milestones before the last run; none: everywhere
    intermediate_subset_seeds: tuple[int, ...] | None = None
    train_seeds: tuple[Seed, ...] | None = (
        None  # crossed with the subsets, whose runs are averaged; none takes a subset's own seed once
    )
    pretraining_seeds: tuple[Seed, ...] = Field((0,), min_length=1)  # dealt to the subsets in turn

    @model_validator(mode="after")
    def _values_are_unique(self) -> "GridConfig":
        for name in ("arms", "label_counts", "subset_seeds", "train_seeds", "pretraining_seeds"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: expected each value once, found {list(values)}")
        if min(self.label_counts) < 1:
            raise ValueError(f"label_counts: expected at least 1, found {min(self.label_counts)}")
        if (num_runs := len(self.pretraining_seeds)) > (num_subsets := len(self.subset_seeds)):
            found = (
                f"found {num_runs} for {num_subsets}; add subset_seeds, since a run that no cell starts from is idle"
            )
            raise ValueError(f"pretraining_seeds: expected at most one for each of subset_seeds, {found}")
        for name, all_of in (("label_counts", self.label_counts), ("subset_seeds", self.subset_seeds)):
            if strangers := set(getattr(self, f"intermediate_{name}") or ()) - set(all_of):
                found = f"found also {sorted(strangers)}; set it to null for all"
                raise ValueError(f"intermediate_{name}: expected some of {name}, {found}")
        return self


class ReportConfig(Section):
    """What the report compares with; changing it reruns nothing."""

    reference_arm: str = "supervised-natural"
    convergence_fraction: float = Field(0.95, gt=0, lt=1)  # of the reference arm's median final validation Dice
    convergence_dice: float | None = Field(None, gt=0, lt=1)  # a validation Dice as the target, instead of the fraction
    hold_evaluations: int = Field(2, ge=1)  # evaluations in a row at or above the target
    near_minimum: float = Field(0.10, gt=0)  # 'near' the smallest error: within this share of it
    target_error: float | None = Field(None, gt=0, lt=1)
    bootstrap_resamples: int = Field(2000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Experiment(Section):
    """Everything that a run depends on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    data: DataConfig = DataConfig()
    natural: NaturalConfig = NaturalConfig()
    model: ModelConfig = ModelConfig()
    stages: dict[str, StageConfig] = Field(default_factory=dict)
    arms: dict[str, ArmConfig] = Field(min_length=1)
    finetune: FinetuneConfig = FinetuneConfig()
    grid: GridConfig
    compute: ComputeConfig = ComputeConfig()
    report: ReportConfig = ReportConfig()

    @field_validator("stages", "arms", mode="before")
    @classmethod
    def _names_can_be_written(cls, named: Any, info: ValidationInfo) -> Any:
        if isinstance(named, dict):
            check_names((name for name in named if isinstance(name, str)), str(info.field_name).removesuffix("s"))
        return named

    @field_validator("stages")
    @classmethod
    def _options_are_complete(cls, stages: dict[str, StageConfig]) -> dict[str, StageConfig]:
        return {name: _with_all_options(name, stage) for name, stage in stages.items()}

    @model_validator(mode="after")
    def _names_resolve(self) -> "Experiment":
        for name, arm in self.arms.items():
            for stage in arm.stages:
                _must_be_one_of(stage, self.stages, f"arms.{name}.stages: unknown stage")
        for name in self.grid.arms:
            _must_be_one_of(name, self.arms, "grid.arms: unknown arm")
        _must_be_one_of(self.report.reference_arm, self.arm_names, "report.reference_arm: not an arm of the grid")
        return self

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The arms of the grid, in order."""
        return self.grid.arms or tuple(self.arms)


def _with_all_options(name: str, stage: StageConfig) -> StageConfig:
    """Check a stage's objective and its options, and fill in the defaults, so that the stage's hash holds them."""
    from trainables.objectives import OBJECTIVES  # brings torch, which reading a tree's other parts does not need

    _must_be_one_of(stage.objective, OBJECTIVES, f"{name}.objective: unknown objective")
    objective = OBJECTIVES[stage.objective]
    if objective.needs_targets and stage.data == "domain":
        raise ValueError(f"{name}: a {stage.objective} stage needs class labels: expected data: natural, found domain")
    if stage.other_views and objective.num_views == 1:
        raise ValueError(f"{name}.other_views: expected none, since {stage.objective} draws one view of an image")
    for key in stage.options:
        _must_be_one_of(key, objective.options_type.model_fields, f"{name}.options: unknown {stage.objective} option")
    try:
        options = objective.options_type.model_validate(stage.options)
    except ValidationError as error:
        raise ValueError("; ".join(_explain(*each, f"{name}.options") for each in mistakes(error))) from error
    return stage.model_copy(update={"options": options.model_dump()})


def _must_be_one_of(name: str, valid: Any, what: str) -> None:
    if name not in valid:
        raise ValueError(f"{what} '{name}'{nearest(name, valid)}")


def preset_names() -> list[str]:
    """List the presets that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in (resources.files("sweep") / "presets").iterdir())


def load_preset(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """Build the experiment of a preset. Raises ExperimentError."""
    if name not in preset_names():
        raise ExperimentError(f"unknown preset '{name}'{nearest(name, preset_names())}")
    text = (resources.files("sweep") / "presets" / f"{name}.yaml").read_text()
    return _build(text, f"preset {name}", overrides)


def load_file(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Build the experiment of a YAML file. Raises ExperimentError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"config file {path} cannot be read: {error}") from error
    return _build(text, str(path), overrides)


def _build(text: str, source: str, overrides: Sequence[str]) -> Experiment:
    try:
        tree = _unshared(read_settings(text))
    except yaml.YAMLError as error:
        raise ExperimentError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ExperimentError(f"{source}: expected a mapping of sections, found {type(tree).__name__}")
    try:
        apply_overrides(tree, overrides)
        return _with_absolute_paths(Experiment.model_validate(tree))
    except OverrideError as error:
        raise ExperimentError(str(error)) from error
    except ValidationError as error:
        raise ExperimentError("\n".join(_explain(*each, source) for each in mistakes(error))) from error


def _unshared(node: Any) -> Any:
    """Copy what a YAML anchor puts in several places, so that an override reaches one of them alone."""
    if isinstance(node, dict):
        return {key: _unshared(value) for key, value in node.items()}
    return [_unshared(value) for value in node] if isinstance(node, list) else node


def _with_absolute_paths(experiment: Experiment) -> Experiment:
    """Resolve relative paths here, where they were meant: a worker runs in another folder."""

    def absolute(path: Path | None) -> Path | None:
        return path.absolute() if path else None

    data, natural, compute = experiment.data, experiment.natural, experiment.compute
    names = ("root", "unlabelled_root", "cases_csv", "split_file", "label_orders")
    paths = {name: absolute(getattr(data, name)) for name in names}
    arms = {
        name: arm.model_copy(update={"weights": f"file:{in_home(Path(arm.weights.removeprefix('file:'))).absolute()}"})
        if arm.weights.startswith("file:")
        else arm
        for name, arm in experiment.arms.items()
    }
    return experiment.model_copy(
        update={
            "data": data.model_copy(update=paths),
            "natural": natural.model_copy(update={"root": absolute(natural.root)}),
            "compute": compute.model_copy(
                update={"cache": absolute(compute.cache), "encoders": absolute(compute.encoders)}
            ),
            "arms": arms,
        }
    )


def _explain(error: Mapping[str, Any], message: str, source: str) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        return f"{source}: unknown key '{where}'{nearest(key, _fields_at(error['loc'][:-1]))}"
    return f"{source}: {where + ': ' if where else ''}{message}"


def _fields_at(location: Sequence[Any]) -> list[str]:
    """The valid keys of the section at a location of the tree."""
    section: Any = Experiment
    for part in location:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
            if type(None) in get_args(section):  # a section that may be left out
                section = next((each for each in get_args(section) if _is_section(each)), section)
        else:  # dict[str, Section]: any key leads to the section
            section = get_args(section)[-1]
    return list(section.model_fields) if _is_section(section) else []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def to_yaml(experiment: Experiment) -> str:
    """Return the whole resolved tree as YAML that ``load_file`` reads back."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
