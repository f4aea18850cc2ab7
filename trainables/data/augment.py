"""Random views of a whole batch at once, on the batch's device.

In: images (batch, channel, row, column), optional masks (batch, row, column), a ViewConfig and a generator. Out:
views of the same or another size. Crop, resize and flips of an image are torchvision's anti-aliased bilinear resize of
the crop; the mask's pick the nearest pixel. Where no crop can be larger than the view, that is bilinear sampling;
elsewhere one separable linear map per sample, a (out, in) matrix for rows and one for columns. Parameters are drawn per
sample. Source of the crop's distribution: Szegedy et al. 2015, as in torchvision's RandomResizedCrop, with clamping
instead of its rejection of crops that do not fit.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from trainables.config import ViewConfig
from trainables.data.colour import blur, grey, saturate, solarise
from trainables.placement import to_device


@dataclass(frozen=True)
class Views:
    """The drawn parameters of a batch, one entry per sample; on the CPU, where looking at them waits for nothing."""

    top: Tensor  # first row of the crop, pixels
    left: Tensor
    height: Tensor  # of the crop, pixels
    width: Tensor
    flip: Tensor  # bool
    brightness: Tensor  # shift
    contrast: Tensor  # factor about the mean of the sample's greys
    vertical_flip: Tensor  # bool
    saturation: Tensor  # factor about grey, 0 for a grey view
    blur_sigma: Tensor  # pixels, 0 for none
    solarised: Tensor  # bool

    def part(self, share: slice) -> "Views":
        """Return the parameters of some of the samples."""
        return Views(*(getattr(self, field.name)[share] for field in fields(self)))

    def on(self, device: torch.device) -> "Views":
        """Return the parameters on a device: one small copy that waits for nothing."""
        if device.type == "cpu":
            return self
        own = [getattr(self, field.name) for field in fields(self)]
        placed = to_device(torch.stack([each.float() for each in own]), device)
        return Views(*(there.to(here.dtype) for here, there in zip(own, placed, strict=True)))


def draw_views(config: ViewConfig, batch_size: int, rows: int, columns: int, generator: torch.Generator) -> Views:
    """Draw the parameters of each sample of a batch of (rows, columns) images."""
    return views_from(config, draw_uniform(config, batch_size, generator), rows, columns)


def draw_uniform(config: ViewConfig, batch_size: int, generator: torch.Generator) -> Tensor:
    """Draw what the views of a batch are made from: (14, batch) numbers from 0 to 1.

    What a recipe leaves out draws nothing, so that other recipes' views stay as they are.
    """
    optional = (
        config.vertical_flip_probability,
        config.saturation,
        config.grey_probability,
        config.blur_probability,
        config.blur_probability,  # how strong
        config.solarise_probability,
    )
    drawn = [torch.rand(8, batch_size, generator=generator)]
    drawn += [
        torch.rand(1, batch_size, generator=generator) if used else torch.zeros(1, batch_size) for used in optional
    ]
    return torch.cat(drawn)


def views_from(config: ViewConfig, uniform: Tensor, rows: int, columns: int) -> Views:
    """Return the parameters that ``draw_uniform``'s numbers stand for; batches may be joined along their last axis."""
    area = rows * columns * torch.lerp(*_pair(config.crop_scale), uniform[0])
    ratio = torch.lerp(*_pair((math.log(config.crop_ratio[0]), math.log(config.crop_ratio[1]))), uniform[1]).exp()
    width = (area * ratio).sqrt().round().clamp(1, columns)
    height = (area / ratio).sqrt().round().clamp(1, rows)
    coloured = (uniform[5] < config.colour_probability).float()
    return Views(
        top=(uniform[2] * (rows - height + 1)).floor().clamp(max=rows - 1),
        left=(uniform[3] * (columns - width + 1)).floor().clamp(max=columns - 1),
        height=height,
        width=width,
        flip=uniform[4] < config.flip_probability,
        brightness=coloured * config.brightness * (2 * uniform[6] - 1),
        contrast=1 + coloured * config.contrast * (2 * uniform[7] - 1),
        vertical_flip=uniform[8] < config.vertical_flip_probability,
        saturation=(1 + coloured * config.saturation * (2 * uniform[9] - 1)) * (uniform[10] >= config.grey_probability),
        blur_sigma=(uniform[11] < config.blur_probability) * torch.lerp(*_pair(config.blur_sigma), uniform[12]),
        solarised=uniform[13] < config.solarise_probability,
    )


def _pair(bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(bounds[0]), torch.tensor(bounds[1])


def view_images(images: Tensor, views: Views, size: int) -> Tensor:
    """Return (batch, channel, size, size) views of images, resized with anti-aliasing, then changed in intensity."""
    placed = views.on(images.device)
    result = _crops(images, placed, size)
    mean = grey(result.mean((2, 3), keepdim=True)).mean(1, keepdim=True)  # (batch, 1, 1, 1)
    contrast = placed.contrast.to(images)[:, None, None, None]
    shift = mean * (1 - contrast) + placed.brightness.to(images)[:, None, None, None]
    result = result.mul_(contrast).add_(shift)  # in place: memory is what this waits for
    if bool((views.saturation != 1).any()):
        result = saturate(result, placed.saturation)
    if bool(views.blur_sigma.any()):
        result = blur(result, placed.blur_sigma, float(views.blur_sigma.max()))
    return solarise(result, placed.solarised) if bool(views.solarised.any()) else result


def view_masks(masks: Tensor, views: Views, size: int) -> Tensor:
    """Return int64 (batch, size, size) views of masks under the same crops and flips, by nearest pixel.

    Masks of a compact type take less time: memory is what this waits for.
    """
    batch, height, width = masks.shape
    rows, columns = _nearest(views.on(masks.device), (height, width), size)
    rows += height * torch.arange(batch, device=masks.device)[:, None]
    whole = masks.reshape(-1, width).index_select(0, rows.flatten()).view(batch, size, width)
    return whole.gather(2, columns[:, None].expand(-1, size, -1)).long()


def _nearest(views: Views, shape: tuple[int, int], size: int) -> tuple[Tensor, Tensor]:
    """Source row and column of each output pixel, (batch, size) each."""
    steps = torch.arange(size, device=views.top.device) + 0.5
    rows = (views.top[:, None] + steps * views.height[:, None] / size).floor().clamp(0, shape[0] - 1)
    columns = (views.left[:, None] + steps * views.width[:, None] / size).floor().clamp(0, shape[1] - 1)
    rows = torch.where(views.vertical_flip[:, None], rows.flip(-1), rows)
    columns = torch.where(views.flip[:, None], columns.flip(-1), columns)
    return rows.long(), columns.long()


def _crops(images: Tensor, views: Views, size: int) -> Tensor:
    """Return the crops resized and flipped, (batch, channel, size, size)."""
    return (
        multiplied_crops(images, views, size) if max(images.shape[-2:]) > size else sampled_crops(images, views, size)
    )


def multiplied_crops(images: Tensor, views: Views, size: int) -> Tensor:
    """Return the crops by a product with matrices, which shrinks with anti-aliasing."""
    rows, columns = (matrix.to(images.dtype) for matrix in _matrices(views, images.shape[-2:], size))
    return rows[:, None] @ images @ columns[:, None].transpose(-1, -2)


def sampled_crops(images: Tensor, views: Views, size: int) -> Tensor:
    """Return the crops by bilinear sampling, which is the same where none is larger than the view."""
    rows, columns = images.shape[-2:]
    grid = images.new_empty(len(images), size, size, 2)
    grid[..., 0] = _centres(views.left, views.width, views.flip, columns, size)[:, None]
    grid[..., 1] = _centres(views.top, views.height, views.vertical_flip, rows, size)[:, :, None]
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _centres(start: Tensor, length: Tensor, flip: Tensor, num_input: int, size: int) -> Tensor:
    """Where output pixels lie in the input, (batch, size), with -1 and 1 as its borders.

    None lies nearer to the crop's border than the centre of its outermost pixel, so that nothing outside is seen.
    """
    start, length = start[:, None], length[:, None]
    centre = start + (torch.arange(size, device=start.device) + 0.5) * (length / size)
    centre = torch.where(flip[:, None], centre.flip(1), centre)
    return centre.clamp(start + 0.5, start + length - 0.5) * (2 / num_input) - 1


def _matrices(views: Views, shape: torch.Size, size: int) -> tuple[Tensor, Tensor]:
    rows = _resize_matrix(views.top, views.height, views.vertical_flip, shape[0], size)
    return rows, _resize_matrix(views.left, views.width, views.flip, shape[1], size)


def _resize_matrix(start: Tensor, length: Tensor, flip: Tensor, num_input: int, size: int) -> Tensor:
    """Weights (batch, size, num_input) of the anti-aliased bilinear resize of ``length`` pixels from ``start``.

    A triangle filter about each output pixel's centre, widened by the factor of shrinking, cut at the crop's border
    and normalised: what torch's ``interpolate(antialias=True)`` computes. ``flip`` turns the output pixels round.
    """
    start, length = start[:, None, None], length[:, None, None]
    scale = length / size
    centre = start + (torch.arange(size, device=start.device) + 0.5)[None, :, None] * scale
    centre = torch.where(flip[:, None, None], centre.flip(1), centre)
    pixel = (torch.arange(num_input, device=start.device) + 0.5)[None, None, :]
    inside = (pixel > start) & (pixel < start + length)
    distance = (pixel - centre).abs_().div_(scale.clamp(min=1))
    weights = torch.sub(1, distance, out=distance).clamp_(min=0).mul_(inside)
    return weights.div_(weights.sum(-1, keepdim=True))
