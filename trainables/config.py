"""What is trained and how: the typed, frozen parts of the experiment tree.

A config that exists is valid; nothing re-checks it later. Unknown keys are refused. ``content_hash`` turns any part
into the identity that cells and pretraining stages are stored under, so only what changes a number belongs in it.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

MAX_CLASSES = 255  # of a mask, without the background: masks are stored as uint8
MAX_SEED = 2**63 - 1  # of the tables' seeds
MAX_COUNT = 2**31 - 1  # of the tables' steps, epochs and batches
RECIPE_VERSION = 4
"""Raised when a change of code changes numbers without a change of config: old cells are then never reused.

Not for rounding, by which devices and kernels of libraries differ anyway.
"""
SCALARS = ("bool_type", "float_type", "int_type", "literal_error", "path_type", "string_type")
"""pydantic's errors of a setting that takes a single value."""
TEXTS = ("path_type", "string_type")
"""Those of a setting that takes text."""


def _no_uri(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError(
            "expected a path on a disk, or on a file system that all nodes share; copy there what the URI has"
        )
    return value


def in_home(path: Path) -> Path:
    """Return a path with the home folder for a leading ``~``, which a shell leaves in ``key=~/folder``."""
    return Path(os.path.expanduser(path))  # which raises nothing for a user that there is not


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
DiskPath = Annotated[Path, BeforeValidator(_no_uri), AfterValidator(in_home)]
"""A URI would be taken for a folder named ``s3:``, and ``~`` for one of that name."""


class Section(BaseModel):
    """A part of the experiment tree: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def content_hash(*parts: Any) -> str:
    """Return 16 hexadecimal digits that identify config sections, strings, numbers and None, in order."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seed_of(*parts: Any) -> int:
    """Return a seed below 2^48 that follows from the same kinds of parts as ``content_hash`` takes."""
    return int(content_hash(*parts)[:12], 16)


def mistakes(error: ValidationError) -> list[tuple[Any, str]]:
    """Return each of pydantic's errors with its message, for who writes YAML: a tuple is a list there.

    That a list is too short is left out where its values were refused, which pydantic then does not count.
    """
    found = []
    for each in error.errors():
        message, value = str(each["msg"]).removeprefix("Value error, "), each["input"]
        if each["type"] == "too_short" and value:
            continue
        if each["type"] == "tuple_type":
            message = f"expected a list, such as [{value}]"
        elif each["type"] == "too_short":
            message = f"expected at least {each['ctx']['min_length']} value"
        elif each["type"] in SCALARS and isinstance(value, dict):
            message = f"{message}, found {value!r}; in YAML a colon at the end or before a space makes a mapping"
        is_plain = not isinstance(value, (dict, BaseModel))
        quoted = _quoted(value) if each["type"] in TEXTS else ""
        found.append((each, f"{message}, found {value!r}{quoted}" if is_plain else message))
    return found


def _quoted(value: Any) -> str:
    """Return how to write text that YAML takes for a number or a truth, in a shell that drops one pair of quotes."""
    if not isinstance(value, (int, float)):
        return ""
    text = ("no", "yes")[value] if isinstance(value, bool) else value
    return f"""; quote it to make it text, such as '"{text}"'"""


class PhantomConfig(Section):
    """Synthetic cine cardiac MR, written in ACDC's layout and read by the same reader."""

    num_patients: int = Field(24, ge=3)
    num_slices: int = Field(8, ge=3)
    num_frames: int = Field(10, ge=2)
    height: int = Field(48, ge=32)
    width: int = Field(52, ge=32)
    spacing_mm: float = Field(2.8, gt=0)
    seed: Seed = 0


class DataConfig(Section):
    """The target domain: labelled images, the unlabelled pool, what is done to them, and the split by patient."""

    format: Literal["auto", "phantom", "acdc", "nnunet", "decathlon", "folder", "imagefolder", "unlabelled"] = "auto"
    root: DiskPath | None = None  # none for the phantom
    unlabelled_root: DiskPath | None = None  # more images of the same kind, for the pretraining pool
    cases_csv: DiskPath | None = None  # whose image is whose: case, patient[, phase, group]; none takes root/cases.csv
    patient_pattern: str | None = None  # regular expression on a case's name: its group, or (?P<patient>...)
    exclude: tuple[str, ...] = ()  # cases and patients that are left out
    classes: dict[str, int] | None = None  # of plain folders: name of each foreground class and its value in masks
    slice_axis: Literal[0, 1, 2] = 2  # of a volume's file, along which it is cut into slices
    spacing_mm: float | None = Field(None, gt=0)  # in-plane resampling; none keeps each volume's own spacing
    pixel_spacing_mm: float | None = Field(None, gt=0)  # of pictures, whose files hold none
    longest_side: int | None = Field(None, ge=16)  # in-plane resampling to this many pixels, instead of spacing_mm
    image_size: int = Field(48, ge=32, multiple_of=16)  # centre crop or pad to this square, pixels
    intensity: Literal["volume-percentiles", "volume-zscore", "training-percentiles"] = "volume-percentiles"
    split: Literal["auto", "paper", "fractions", "file"] = "auto"  # auto: the paper's for ACDC, fractions elsewhere
    validation_fraction: float = Field(0.15, ge=0, lt=0.5)
    test_fraction: float = Field(0.2, gt=0, lt=0.5)
    split_seed: Seed = 0
    split_file: DiskPath | None = None  # nnU-Net's splits_final.json, or ours with a test list
    split_fold: int = Field(0, ge=0)  # of the file
    validation_slices: int | None = Field(None, ge=0)  # evenly spaced; none takes all, 0 validates nothing
    label_unit: Literal["slices", "patients"] = "slices"
    label_draw: Literal["uniform", "stratified"] = "uniform"  # stratified: by group, phase and level of the slice
    label_orders: DiskPath | None = None  # a folder of seed-N.json that say which slices are labelled in which order
    phantom: PhantomConfig = PhantomConfig()

    @model_validator(mode="after")
    def _root_fits_format(self) -> "DataConfig":
        if self.root is None and self.format not in ("auto", "phantom"):
            raise ValueError(f"data.root: format {self.format} expects the folder that holds the data, found none")
        if self.root is not None and self.format == "phantom":
            raise ValueError(f"data.root: format phantom expects no root, found {self.root}")
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> "DataConfig":
        if self.spacing_mm is not None and self.longest_side is not None:
            remedy = "set data.longest_side=null to resample to data.spacing_mm, or data.spacing_mm=null"
            raise ValueError(f"data.spacing_mm and data.longest_side: expected one of them, found both; {remedy}")
        if (self.split == "file") != (self.split_file is not None):
            found = f"found {self.split_file} with split: {self.split}"
            remedy = "set data.split=file for it" if self.split_file else "name the file"
            raise ValueError(f"data.split_file: expected with split: file and only there, {found}; {remedy}")
        if self.validation_fraction == 0 and self.validation_slices != 0 and self.split == "fractions":
            raise ValueError("data.validation_fraction: expected above 0, found 0; or set data.validation_slices=0")
        values = list((self.classes or {}).values())
        if self.classes is not None and (not values or len(set(values)) < len(values) or min(values) < 1):
            raise ValueError(f"data.classes: expected different values above 0, found {self.classes}")
        if len(values) > MAX_CLASSES:
            raise ValueError(f"data.classes: expected at most {MAX_CLASSES}, found {len(values)}; merge classes")
        _check_pattern(self.patient_pattern)
        return self


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"data.patient_pattern: '{pattern}' is no regular expression ({error})") from error
    if not groups:
        raise ValueError(
            f"data.patient_pattern: expected a group that is the patient, such as '([^_]+)', found '{pattern}'"
        )


class NaturalConfig(Section):
    """Natural images for the generalist stages: procedural ones, or a folder with one subfolder per class."""

    source: Literal["procedural", "folder"] = "procedural"
    root: DiskPath | None = None
    num_images: int = Field(3000, ge=2)  # of the procedural set; of a folder, at most this many per class
    num_classes: int = Field(12, ge=2)  # of the procedural set
    image_size: int = Field(48, ge=16)
    seed: Seed = 0

    @model_validator(mode="after")
    def _root_fits_source(self) -> "NaturalConfig":
        if (self.source == "folder") != (self.root is not None):
            wanted, remedy = "no root", "set natural.source=folder to take the images from there"
            if self.source == "folder":
                wanted, remedy = "a folder with one subfolder per class", "set natural.root=FOLDER"
            raise ValueError(f"natural.root: source {self.source} expects {wanted}, found {self.root}; {remedy}")
        if self.source == "procedural" and self.num_classes > 12:
            raise ValueError(f"natural.num_classes: the procedural set has at most 12, found {self.num_classes}")
        return self


class ModelConfig(Section):
    """A U-Net on a ResNet encoder.

    Channel counts below 8 are refused: at width 4 the channels-last backward convolution corrupted the heap on one
    machine (torch 2.14.1, CPU without AVX-512; another machine ran clean), and such nets serve no study.
    """

    encoder: Literal["resnet10", "resnet18", "resnet34", "resnet50"] = "resnet18"
    width: int = Field(64, ge=8, multiple_of=4)  # channels of the first stage; 64 is the standard net
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)

    @model_validator(mode="after")
    def _decoder_wide_enough(self) -> "ModelConfig":
        if min(self.decoder_channels) < 8:
            raise ValueError(f"model.decoder_channels: expected at least 8 each, found {self.decoder_channels}")
        return self


_JITTER = {"colour_probability": 0.8, "brightness": 0.4, "contrast": 0.4, "grey_probability": 0.2}
VIEW_SETS: dict[str, dict[str, float]] = {
    "paper": {},  # Kalapos & Gyires-Tóth 2022
    "simclr": {**_JITTER, "saturation": 0.4, "blur_probability": 0.5},  # Chen et al. 2020, colour strength 0.5
    "byol": {**_JITTER, "saturation": 0.2, "blur_probability": 1.0},  # Grill et al. 2020, the first view
    "byol-second": {**_JITTER, "saturation": 0.2, "blur_probability": 0.1, "solarise_probability": 0.2},
}
"""Values that ``views: {set: NAME}`` starts from. Hue is never changed: medical images have none."""


class ViewConfig(Section):
    """Random views, drawn per sample. Saturation and grey change images of three channels only."""

    crop_scale: tuple[float, float] = (0.08, 1.0)  # share of the image's area
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height
    flip_probability: float = Field(0.5, ge=0, le=1)
    vertical_flip_probability: float = Field(0.0, ge=0, le=1)
    colour_probability: float = Field(0.2, ge=0, le=1)  # of contrast, brightness and saturation together
    brightness: float = Field(0.2, ge=0)  # shift, as a share of the image's range
    contrast: float = Field(0.2, ge=0, lt=1)
    saturation: float = Field(0.0, ge=0, lt=1)
    grey_probability: float = Field(0.0, ge=0, le=1)
    blur_probability: float = Field(0.0, ge=0, le=1)
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels
    solarise_probability: float = Field(0.0, ge=0, le=1)  # inverts what is brighter than half the image's range

    @model_validator(mode="before")
    @classmethod
    def _start_from_set(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "set" not in values:
            return values
        if values["set"] not in VIEW_SETS:
            raise ValueError(f"set: expected one of {', '.join(VIEW_SETS)}, found {values['set']!r}")
        return VIEW_SETS[values["set"]] | {key: value for key, value in values.items() if key != "set"}

    @model_validator(mode="after")
    def _ranges_rise(self) -> "ViewConfig":
        ranges = {"crop_scale": self.crop_scale, "crop_ratio": self.crop_ratio, "blur_sigma": self.blur_sigma}
        for name, (low, high) in ranges.items():
            if not 0 < low <= high or (name == "crop_scale" and high > 1):
                raise ValueError(f"{name}: expected 0 < low <= high (scale at most 1), found {(low, high)}")
        return self


def _none_as_first(other: ViewConfig | None, info: Any) -> ViewConfig | None:
    return None if other == info.data.get("views") else other  # what a stage has of both


OtherViews = Annotated[ViewConfig | None, AfterValidator(_none_as_first)]
"""None where they are as the first: one recipe has one form, and so one identity."""


class StageConfig(Section):
    """One pretraining stage: an objective on one data source for a number of epochs."""

    objective: str  # a name of the registry in trainables.objectives
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)  # the objective's own settings
    data: Literal["natural", "domain"]
    epochs: int = Field(ge=1, le=MAX_COUNT)
    milestones: tuple[int, ...] = ()  # epochs whose encoder is kept as a point of the pretraining-epochs axis
    schedule: Literal["milestones", "per_length"] = "milestones"  # one run, or a full schedule for each length
    batch_size: int = Field(128, ge=2, le=MAX_COUNT)  # over all workers
    micro_batches: int = Field(1, ge=1)  # parts of a batch that pass one by one; norms and contrasts see a part alone
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = "none"  # with batch_size / 256
    weight_decay: float = Field(1e-4, ge=0)  # not of biases and norms
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd and lars
    trust_coefficient: float = Field(1e-3, gt=0)  # of lars
    gradient_clip: float | None = Field(None, gt=0)  # norm of all gradients; none leaves them as they are
    warmup_epochs: float = Field(1.0, ge=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the forward pass; fp16 needs a GPU
    compile: bool = False
    probe_every_epochs: int = Field(0, ge=0)  # a nearest-neighbour probe on labelled slices; 0 for none
    views: ViewConfig = ViewConfig()
    other_views: OtherViews = None  # of every view of an image but the first; none: as the first

    @model_validator(mode="after")
    def _is_consistent(self) -> "StageConfig":
        if list(self.milestones) != sorted(set(self.milestones)) or any(epoch < 1 for epoch in self.milestones):
            raise ValueError(f"milestones: expected rising epochs from 1, found {self.milestones}")
        if self.milestones and self.milestones[-1] != self.epochs:
            raise ValueError(f"milestones: the last must be epochs={self.epochs}, found {self.milestones[-1]}")
        if self.batch_size % self.micro_batches:
            expected = f"expected a divisor of batch_size={self.batch_size}"
            raise ValueError(f"micro_batches: {expected}, found {self.micro_batches}")
        if self.optimizer == "lars" and self.weight_decay == 0:
            remedy = "without it lars would be plain sgd; take a small one, such as 1.0e-6"
            raise ValueError(f"weight_decay: expected above 0 with lars, found 0; {remedy}")
        for name, users in (("momentum", ("sgd", "lars")), ("trust_coefficient", ("lars",))):
            if self.optimizer not in users and getattr(self, name) != type(self).model_fields[name].default:
                expected = f"expected none with optimizer={self.optimizer}, which has none"
                raise ValueError(f"{name}: {expected}, found {getattr(self, name)}; it is of {' and '.join(users)}")
        if self.probe_every_epochs and self.data != "domain":
            raise ValueError("probe_every_epochs: expected 0 with data: natural, whose encoder knows no slices yet")
        return self

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Epochs after which the encoder is saved."""
        return self.milestones or (self.epochs,)


class StopConfig(Section):
    """When a cell ends before its budget: once validation Dice has stopped rising, its rate is cooled down to 0.

    With it the rate is constant after the warm-up and falls in the last steps alone, so that a cell can end annealed
    wherever it ends.
    """

    patience: int = Field(ge=1)  # evaluations in a row without a rise, from the end of the warm-up on
    min_delta: float = Field(0.001, ge=0, lt=1)  # Dice that counts as a rise
    cooldown_fraction: float = Field(0.2, gt=0, lt=1)  # of the steps, over which the rate falls


class FinetuneConfig(Section):
    """The supervised recipe of every cell: the same budget of steps whatever the label count."""

    steps: int = Field(1050, ge=1, le=MAX_COUNT)  # at most, where ``stop`` is set
    batch_size: int = Field(192, ge=2, le=MAX_COUNT)
    learning_rate: float = Field(1e-4, gt=0)
    warmup_fraction: float = Field(10 / 150, ge=0, lt=1)
    gradient_clip: float = Field(5.0, gt=0)
    evaluate_every: int = Field(7, ge=1)  # steps between validation passes
    evaluation_batch_size: int = Field(64, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    views: ViewConfig = ViewConfig()
    stop: StopConfig | None = None  # none: every cell runs all its steps, under a cosine

    @model_validator(mode="after")
    def _cooldown_follows_warmup(self) -> "FinetuneConfig":
        if self.stop and self.warmup_fraction + self.stop.cooldown_fraction >= 1:
            found = f"found {self.warmup_fraction:g} + {self.stop.cooldown_fraction:g}; lower one of them"
            raise ValueError(f"warmup_fraction + stop.cooldown_fraction: expected below 1, {found}")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What changes a number, as it enters a cell's id: cells that are not stopped are those of older programs."""
        return self.model_dump(mode="json", exclude=None if self.stop else {"stop"})


class ComputeConfig(Section):
    """Where and with what it runs. Only ``pretraining_workers`` enters an identity: it changes the rounding of sums.

    ``max_retries`` holds for every failure of a cell or stage (an error, no memory, a dead worker), from its start or
    last saved epoch, and in either launcher. A loss that is not finite and features that have collapsed are not tried
    again: equal seeds give them again. Any other error is, on CPUs too, since none tells a mistake from a passing fault
    of a disk or device. A lost node, or memory that ran out beside other cells, costs a cell no try; a lost node, or a
    dead worker after further epochs, costs a stage none.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1)  # CPU threads of each worker
    gpus_per_cell: float = Field(0.25, gt=0, le=1)  # at least: few cells take more; without GPUs each its threads
    checkpoint_share: float = Field(0.02, gt=0, le=1)  # of a stage's time that saving it may take; 1: every epoch
    cuda_graphs: bool = True  # capture a cell's training step on a GPU, which small networks need to be fast there
    slots: int | None = Field(None, ge=1)  # cells at once; none takes what the cluster has now
    pretraining_workers: int = Field(1, ge=1)  # processes of one pretraining stage
    min_pretraining_workers: int | None = Field(None, ge=1)  # that a stage goes on with where nodes are lost; none: all
    worker_wait_minutes: float = Field(30.0, gt=0)  # for room: then a stage fails, or the run ends where a cell waits
    address: str | None = None  # of a running Ray cluster; RAY_ADDRESS is the usual way
    encoders: DiskPath | None = None  # a folder of encoders that experiments share; none: in the results folder
    cache: DiskPath | None = None  # decoded volumes, on a disk of each node; none takes the user's cache folder
    max_retries: int = Field(1, ge=0)  # of a failed cell or stage, but where the same seed would fail again
    surface_distances: bool = True  # of the test volumes; they change no other number, and cost no training time
    example_slices: int = Field(5, ge=0)  # test slices whose image and predictions are kept for the report; 0: none
    price_per_device_hour: float | None = Field(None, ge=0)  # of a GPU, or of a CPU process of ``threads`` threads

    @model_validator(mode="after")
    def _fewest_is_fewer(self) -> "ComputeConfig":
        if self.min_pretraining_workers and self.min_pretraining_workers > self.pretraining_workers:
            expected = f"expected at most pretraining_workers={self.pretraining_workers}"
            raise ValueError(f"min_pretraining_workers: {expected}, found {self.min_pretraining_workers}")
        return self
