"""The house's rules: who may import whom, and where each library enters."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "analysis")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

HOMES = {
    "ray": ("sweep/on_ray/", "trainables/ray_adapters.py"),
    "nibabel": ("trainables/data/nifti.py",),
    "isal": ("trainables/data/nifti.py",),
    "PIL": ("trainables/data/natural.py", "trainables/data/raster.py", "trainables/data/contact_sheet.py"),
    "lightly": ("trainables/objectives/",),
    "segmentation_models_pytorch": ("trainables/models/segmenter.py",),
    "safetensors": ("trainables/weights/files.py", "trainables/weights/card.py"),
    "timm": ("trainables/weights/hubs.py",),
    "huggingface_hub": ("trainables/weights/hubs.py",),
    "torch.distributed": ("trainables/processes.py", "trainables/synchronised_norm.py"),
    "pyarrow": ("trainables/results/",),
    "scipy": ("trainables/surface_distance.py", "trainables/data/phantom_scene.py", "analysis/"),
    "tensorboardX": ("sweep/tensorboard.py",),
    "mlflow": ("sweep/export.py",),
    "wandb": ("sweep/export.py",),
    "matplotlib": ("analysis/figures/",),
    "seaborn": ("analysis/figures/panels.py",),
    "jinja2": ("analysis/page/html_page.py",),
    "rich": (
        "sweep/views/progress.py",
        "sweep/views/live_view.py",
        "sweep/costs/tables.py",
        "sweep/run.py",
        "sweep/status.py",
        "sweep/data_efficiency.py",
        "trainables/data/progress.py",
        "trainables/data/inspection_tables.py",
    ),
}

FORBIDDEN = {
    "trainables/": ("sweep", "analysis"),
    "trainables/results/": ("torch", "ray", "pandas", "numpy"),
    "trainables/config.py": ("torch", "trainables"),
    "trainables/data/": ("trainables.pretrain", "trainables.finetune", "trainables.models", "trainables.objectives"),
    "trainables/models/": ("trainables.pretrain", "trainables.finetune", "trainables.data", "trainables.objectives"),
    "trainables/objectives/": ("trainables.pretrain", "trainables.finetune", "trainables.data"),
    "trainables/metrics.py": ("trainables",),
    "sweep/experiment.py": ("torch", "ray", "trainables.data", "trainables.pretrain", "trainables.finetune"),
    "sweep/grid.py": ("torch", "ray", "trainables.data", "trainables.pretrain", "trainables.finetune"),
    "sweep/plan.py": ("torch", "ray", "trainables.pretrain", "trainables.finetune"),
    "sweep/state/": ("torch", "ray", "trainables.pretrain", "trainables.finetune", "sweep.on_ray", "sweep.views"),
    "sweep/on_ray/": ("torch", "sweep.views"),
    "sweep/on_ray/shares.py": ("ray", "sweep.state"),
    "sweep/on_ray/trial_sizes.py": ("ray", "sweep"),
    "sweep/costs/time_left.py": ("torch", "ray", "sweep", "trainables"),
    "sweep/costs/occupancy.py": ("torch", "ray", "sweep", "trainables"),
    "sweep/costs/account.py": ("torch", "ray", "sweep.plan", "sweep.costs.forecast"),
    "sweep/": ("analysis",),
    "analysis/": ("torch", "ray", "sweep"),
}

LAYERS = (  # of the analysis: a folder imports from those before it; folders of one line do not know each other
    ("loading", "intervals"),
    ("scores",),
    ("comparisons",),
    ("convergence", "labels"),
    ("pretraining",),
    ("answers",),
    ("figures", "tables", "planning"),
    ("page",),
)


@functools.cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reaches(names: set[str], module: str) -> set[str]:
    return {name for name in names if name == module or name.startswith(f"{module}.")}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_in_one_direction(path: Path) -> None:
    for prefix, modules in FORBIDDEN.items():
        if str(path).startswith(prefix):
            for module in modules:
                assert not reaches(imports(path), module), f"{path} must not import {module}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_library_enters_through_its_home(path: Path) -> None:
    for library, homes in HOMES.items():
        if not str(path).startswith(homes):
            assert not reaches(imports(path), library), f"{library} enters through {homes}, not {path}"


@pytest.mark.parametrize("library", HOMES)
def test_every_home_is_lived_in(library: str) -> None:
    for home in HOMES[library]:
        inside = [path for path in FILES if str(path).startswith(home)]
        assert any(reaches(imports(path), library) for path in inside), f"{home} does not import {library}"


def test_the_results_contract_needs_nothing_of_the_project_but_itself() -> None:
    for path in FILES:
        if str(path).startswith("trainables/results/"):
            used = {name for package in PACKAGES for name in reaches(imports(path), package)}
            assert all(name.startswith("trainables.results.") for name in used), path


def test_the_analysis_needs_nothing_of_the_project_but_the_results_contract() -> None:
    for path in FILES:
        if path.parts[0] == "analysis":
            used = {name for name in reaches(imports(path), "trainables") if name != "trainables"}
            assert all(name.startswith("trainables.results") for name in used), path


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parts[0] == "analysis" and len(path.parts) == 3], ids=str
)
def test_the_analysis_is_built_in_layers(path: Path) -> None:
    layer = next(number for number, folders in enumerate(LAYERS) if path.parts[1] in folders)
    others = {folder for folders in LAYERS[layer:] for folder in folders} - {path.parts[1]}
    assert not {folder for folder in others if reaches(imports(path), f"analysis.{folder}")}


def test_every_folder_of_the_analysis_has_its_layer() -> None:
    folders = {path.parts[1] for path in FILES if path.parts[0] == "analysis" and len(path.parts) == 3}
    assert folders == {folder for folders in LAYERS for folder in folders}


ABSENT = {  # in this order, in which one process may import the first four
    "trainables.results": {"torch", "ray", "pandas"},
    "analysis.report": {"torch", "ray", "sweep"},
    "sweep.experiment, sweep.status": {"torch", "ray"},
    "sweep.tensorboard": {"torch", "ray", "tensorboardX"},
    "trainables.pretrain, trainables.finetune": {"ray", "sweep", "analysis"},
}


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What is loaded after each import: what none of the first four has loaded, none of them loads."""
    *light, heavy = ABSENT
    return imported_in_turn(light) | imported_in_turn([heavy])


def imported_in_turn(modules: list[str]) -> dict[str, set[str]]:
    told = "print(*sorted(name for name in sys.modules if '.' not in name))"
    code = "import sys; " + "; ".join(f"import {each}; {told}" for each in modules)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return {each: set(line.split()) for each, line in zip(modules, lines.splitlines(), strict=True)}


@pytest.mark.parametrize("modules", ABSENT)
def test_importing_a_module_does_not_load(modules: str, loaded: dict[str, set[str]]) -> None:
    assert not ABSENT[modules] & loaded[modules]


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in FILES}
    assert not {path: length for path, length in lengths.items() if length > 400}


def test_no_agpl_library_is_imported_or_required() -> None:
    refused = ("lightly_train", "lightly-train", "albumentationsx", "ultralytics")
    assert not [path for path in FILES if any(reaches(imports(path), name) for name in refused)]
    listed = (ROOT / "pyproject.toml").read_text().lower() + (ROOT / "constraints.txt").read_text().lower()
    assert not any(name in listed for name in refused)
