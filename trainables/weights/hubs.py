"""Weights that a hub holds under a name: torchvision, timm, the Hugging Face hub.

In: a name. Out: a file in the hub's own cache, which is used as it is wherever it exists, so that a machine without
network runs what another one fetched. What cannot be fetched is an error within seconds that says how to go on.
"""

import contextlib
import difflib
import re
import shutil
from pathlib import Path
from urllib.request import Request, urlopen

import torch

from trainables.failures import first_line
from trainables.models.encoder import DEPTHS
from trainables.results import replacing
from trainables.weights.files import WeightsError, sha256

TIMEOUT_SECONDS = 5
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in order, where none is named
MODEL_CARD = "README.md"
LICENCE = re.compile(r"\s*---\n(?:(?!---).*\n)*?license: *(\S.*)\n")  # in the metadata above a model card


def fetch_torchvision(name: str) -> Path:
    """Return the file of weights such as ``ResNet50_Weights.IMAGENET1K_V2``, in torch's cache. Raises WeightsError."""
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        url = get_weight(name).url
    except (ValueError, KeyError, AttributeError) as error:
        names = [str(each) for model in list_models() if model in DEPTHS for each in get_model_weights(model)]
        raise WeightsError(
            f"weights 'torchvision:{name}': torchvision has no such name{_nearest(name, names)}"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.is_file():
        _download(f"torchvision:{name}", url, path)
    digest = re.fullmatch(r".*-([0-9a-f]{8,})", path.stem)
    if digest and not sha256(path).startswith(digest[1]):
        raise WeightsError(f"weights file {path} is damaged: its sha256 does not begin with {digest[1]}; delete it")
    return path


def fetch_timm(name: str) -> tuple[Path, str | None]:
    """Return the file and the licence of weights such as ``resnet50.a1_in1k``. Raises WeightsError.

    A name without a tag is refused: what timm takes for it changes with timm's version.
    """
    from timm.models import get_pretrained_cfg, list_pretrained

    names = [each for each in list_pretrained("resnet*") if each.partition(".")[0] in DEPTHS]
    if name not in names:
        tagged = [each for each in names if each.startswith(f"{name}.")]
        near = f"; there are {', '.join(tagged)}" if tagged else _nearest(name, names)
        raise WeightsError(f"weights 'timm:{name}': expected a ResNet's name with its tag{near}")
    config = get_pretrained_cfg(name)
    assert config is not None  # the name is in timm's own list
    repo = config.hf_hub_id or f"timm/{name}"
    path = fetch_huggingface(repo, None, None, asked=f"timm:{name}")
    return path, config.license or huggingface_licence(repo, None)


def fetch_huggingface(repo: str, revision: str | None, file: str | None, asked: str | None = None) -> Path:
    """Return a repository's weights file, safetensors where there are both, in the hub's cache.

    ``asked``: the source as it was named, for messages. Raises WeightsError.
    """
    from huggingface_hub import try_to_load_from_cache

    asked = asked or f"hf:{repo}" + (f"@{revision}" if revision else "") + (f"#{file}" if file else "")
    names = (file,) if file else HUB_FILES
    for name in names:
        if isinstance(cached := try_to_load_from_cache(repo, name, revision=revision), str):
            return Path(cached)
    for name in names:
        if path := _download_from_hub(repo, revision, name, asked):
            with contextlib.suppress(WeightsError):  # without its card the licence is unknown
                _download_from_hub(repo, revision, MODEL_CARD, asked)
            return path
    raise WeightsError(f"weights '{asked}' hold no {' or '.join(names)}; name the file, as in hf:{repo}#FILE")


def huggingface_licence(repo: str, revision: str | None) -> str | None:
    """Return the licence in a repository's model card, if the card was fetched and names one."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo, MODEL_CARD, revision=revision)
    if not isinstance(cached, str):
        return None
    metadata = LICENCE.match(Path(cached).read_text(errors="replace"))
    return metadata[1].strip() if metadata else None


def _download_from_hub(repo: str, revision: str | None, name: str, asked: str) -> Path | None:
    """Fetch a file into the hub's cache; None if the repository has no such file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    url = hf_hub_url(repo, name, revision=revision)
    try:
        get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS)  # asks once; the download would ask again for minutes
    except EntryNotFoundError:
        return None
    except Exception as error:  # of requests, httpx or httpx2, by the hub's version
        raise WeightsError(_unreachable(asked, error, url)) from error
    try:
        return Path(hf_hub_download(repo, name, revision=revision))
    except Exception as error:
        raise WeightsError(_unreachable(asked, error, url)) from error


def _download(what: str, url: str, path: Path) -> None:
    request = Request(url, headers={"User-Agent": "labelcurve"})
    try:
        with (
            urlopen(request, timeout=TIMEOUT_SECONDS) as response,
            replacing(path) as temporary,
            temporary.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except OSError as error:
        raise WeightsError(_unreachable(what, error, url)) from error


def _unreachable(what: str, error: Exception, url: str) -> str:
    return (
        f"weights '{what}' cannot be fetched ({first_line(error)}); download {url} on another machine and use file:PATH"
    )


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(names)}"
