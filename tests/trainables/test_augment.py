"""Batched views equal torchvision's operations on each sample."""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from trainables.config import ViewConfig
from trainables.data.augment import Views, draw_views, multiplied_crops, sampled_crops, view_images, view_masks

PLAIN = ViewConfig(colour_probability=0)


def draw(config: ViewConfig, batch: int, rows: int, columns: int, seed: int = 0) -> Views:
    return draw_views(config, batch, rows, columns, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("shape", "size"), [((48, 48), 48), ((64, 64), 24), ((24, 40), 48), ((40, 24), 36)])
def test_crop_resize_and_flip_equal_torchvisions_antialiased_resized_crop(shape: tuple[int, int], size: int) -> None:
    images = torch.randn(16, 3, *shape, generator=torch.Generator().manual_seed(1))
    views = draw(PLAIN, 16, *shape)
    result = view_images(images, views, size)
    for index, image in enumerate(images):
        box = [int(getattr(views, name)[index]) for name in ("top", "left", "height", "width")]
        expected = tv.resized_crop(image, *box, [size, size], InterpolationMode.BILINEAR, antialias=True)
        if views.flip[index]:
            expected = expected.flip(-1)
        assert torch.allclose(result[index], expected, atol=2e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_crops_that_are_not_shrunk_are_the_same_by_sampling_and_by_matrices(layout: torch.memory_format) -> None:
    images = torch.rand(16, 3, 48, 40, generator=torch.Generator().manual_seed(1)).to(memory_format=layout)
    views = draw(PLAIN.model_copy(update={"vertical_flip_probability": 0.5}), 16, 48, 40)
    assert torch.allclose(sampled_crops(images, views, 48), multiplied_crops(images, views, 48), atol=2e-5)


def test_a_view_sees_nothing_outside_its_crop() -> None:
    images, views = torch.zeros(32, 1, 48, 48), draw(PLAIN, 32, 48, 48)
    for index in range(32):
        top, left, height, width = (int(getattr(views, name)[index]) for name in ("top", "left", "height", "width"))
        images[index, 0, top : top + height, left : left + width] = 1
    for crops in (sampled_crops, multiplied_crops):
        assert torch.allclose(crops(images, views, 48), torch.ones(32, 1, 48, 48))


def test_masks_equal_torchvisions_nearest_exact_resized_crop() -> None:
    masks = torch.randint(0, 4, (32, 40, 40), generator=torch.Generator().manual_seed(1))
    views = draw(PLAIN, 32, 40, 40)
    result = view_masks(masks, views, 40)
    assert torch.equal(view_masks(masks.to(torch.uint8), views, 40), result)
    for index, mask in enumerate(masks):
        box = [int(getattr(views, name)[index]) for name in ("top", "left", "height", "width")]
        expected = tv.resized_crop(mask[None], *box, [40, 40], InterpolationMode.NEAREST_EXACT)[0]
        assert torch.equal(result[index], expected.flip(-1) if views.flip[index] else expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_equals_torchvisions_contrast_then_a_shift(channels: int) -> None:
    images = torch.rand(8, channels, 16, 16, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    config = ViewConfig(crop_scale=(1, 1), crop_ratio=(1, 1), flip_probability=0, colour_probability=1)
    views = draw(config, 8, 16, 16)
    result = view_images(images, views, 16)
    for index, image in enumerate(images):
        expected = tv.adjust_contrast(image, float(views.contrast[index])) + views.brightness[index]
        assert torch.allclose(result[index], expected, atol=1e-5)


def test_the_whole_image_unflipped_is_the_identity() -> None:
    config = ViewConfig(crop_scale=(1, 1), crop_ratio=(1, 1), flip_probability=0, colour_probability=0)
    images = torch.randn(4, 1, 32, 32)
    assert torch.allclose(view_images(images, draw(config, 4, 32, 32), 32), images, atol=1e-6)


def test_drawn_crops_have_the_configured_area_ratio_and_rates() -> None:
    views = draw(ViewConfig(), 20_000, 224, 224)
    area = views.height * views.width / 224**2
    assert 0.07 < area.min() < 0.1
    assert area.max() <= 1
    assert abs(area.mean() - 0.54) < 0.03  # uniform on 0.08 to 1, a little less where a wide crop is clamped
    assert (views.top + views.height <= 224).all()
    assert (views.left + views.width <= 224).all()
    assert abs(views.flip.float().mean() - 0.5) < 0.02
    assert abs((views.contrast != 1).float().mean() - 0.2) < 0.02


def test_equal_seeds_draw_equal_views_and_other_seeds_other_ones() -> None:
    first, again, other = (draw(ViewConfig(), 8, 48, 48, seed) for seed in (0, 0, 1))
    assert torch.equal(first.top, again.top)
    assert not torch.equal(first.height, other.height)
