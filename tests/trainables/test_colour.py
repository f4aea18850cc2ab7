"""Changes of intensity for a batch equal torchvision's on each sample."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from trainables.config import VIEW_SETS, ViewConfig
from trainables.data.augment import draw_views, view_images, view_masks
from trainables.data.colour import blur, saturate, solarise

WHOLE = {"crop_scale": (1, 1), "crop_ratio": (1, 1), "flip_probability": 0, "colour_probability": 0}


@pytest.fixture
def images() -> Tensor:
    """Colours in the middle of the range, where torchvision clips nothing."""
    return torch.rand(8, 3, 20, 24, generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3


def test_saturation_equals_torchvisions_and_zero_is_its_grey(images: Tensor) -> None:
    factors = torch.tensor([0.0, 0.5, 0.9, 1.0, 1.1, 1.3, 1.4, 0.0])
    for image, factor, result in zip(images, factors, saturate(images, factors), strict=True):
        assert torch.allclose(result, tv.adjust_saturation(image, float(factor)), atol=1e-6)
        if factor == 0:
            assert torch.allclose(result, tv.rgb_to_grayscale(image, 3), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_saturation_leaves_images_alone_that_are_no_colours(channels: int) -> None:
    images = torch.rand(2, channels, 8, 8)
    assert torch.equal(saturate(images, torch.zeros(2)), images)


def test_blur_equals_torchvisions_that_reaches_three_sigma_whatever_the_batch(images: Tensor) -> None:
    sigmas = torch.tensor([0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 1.2, 0.8])
    for image, sigma, result in zip(images, sigmas, blur(images, sigmas, 2.0), strict=True):
        width = 2 * math.ceil(3 * float(sigma)) + 1
        assert torch.allclose(result, tv.gaussian_blur(image, [width, width], [float(sigma)] * 2), atol=1e-6)


def test_a_blur_of_zero_changes_nothing_and_one_wider_than_the_image_stays_inside_its_range(images: Tensor) -> None:
    result = blur(images, torch.tensor([0.0] * 7 + [30.0]), 30.0)
    assert torch.equal(result[:7], images[:7])
    assert images[7].min() < result[7].min()
    assert result[7].max() < images[7].max()


def test_solarisation_equals_torchvisions_at_half_the_range() -> None:
    images = torch.rand(4, 1, 8, 8) * 1.4 - 0.2  # scaled slices leave 0 to 1
    result = solarise(images, torch.tensor([True, False, True, False]))
    for index, image in enumerate(images):
        assert torch.equal(result[index], image if index % 2 else tv.solarize(image, 0.5))


def test_a_vertical_flip_turns_image_and_mask_upside_down() -> None:
    views = draw_views(ViewConfig(**WHOLE, vertical_flip_probability=0.5), 16, 12, 12, torch.Generator().manual_seed(0))
    images, masks = torch.rand(16, 1, 12, 12), torch.randint(0, 4, (16, 12, 12))
    assert 0 < int(views.vertical_flip.sum()) < 16
    seen, seen_masks = view_images(images, views, 12), view_masks(masks, views, 12)
    for index, is_flipped in enumerate(views.vertical_flip):
        assert torch.allclose(seen[index], tv.vertical_flip(images[index]) if is_flipped else images[index], atol=1e-6)
        assert torch.equal(seen_masks[index], tv.vertical_flip(masks[index]) if is_flipped else masks[index])


def test_a_view_is_coloured_then_blurred_then_solarised(images: Tensor) -> None:
    square = images[..., :20]
    config = ViewConfig.model_validate(WHOLE | {"set": "byol-second", "blur_probability": 1, "solarise_probability": 1})
    views = draw_views(config, 8, 20, 20, torch.Generator().manual_seed(3))
    expected = solarise(
        blur(saturate(square, views.saturation), views.blur_sigma, float(views.blur_sigma.max())), views.solarised
    )
    assert torch.allclose(view_images(square, views, 20), expected, atol=1e-5)


def test_named_sets_draw_at_their_rates() -> None:
    views = draw_views(ViewConfig.model_validate({"set": "byol-second"}), 20_000, 96, 96, torch.Generator())
    assert abs(float((views.saturation == 0).float().mean()) - 0.2) < 0.02  # grey
    assert abs(float((views.blur_sigma > 0).float().mean()) - 0.1) < 0.02
    assert abs(float(views.solarised.float().mean()) - 0.2) < 0.02
    assert abs(float((views.contrast != 1).float().mean()) - 0.8) < 0.02
    coloured = views.saturation[views.saturation > 0]
    assert 0.8 <= float(coloured.min()) < 0.81
    assert 1.19 < float(coloured.max()) <= 1.2
    assert float(views.blur_sigma[views.blur_sigma > 0].min()) >= 0.1
    assert float(views.blur_sigma.max()) <= 2.0


def test_what_a_recipe_leaves_out_draws_nothing() -> None:
    plain, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    draw_views(ViewConfig(), 8, 48, 48, plain)
    torch.rand(8, 8, generator=other)
    assert torch.equal(plain.get_state(), other.get_state())


@pytest.mark.parametrize("name", VIEW_SETS)
def test_every_named_set_gives_finite_views_of_any_number_of_channels(name: str) -> None:
    for channels in (1, 3, 4):
        views = draw_views(ViewConfig.model_validate({"set": name}), 4, 32, 32, torch.Generator())
        result = view_images(torch.rand(4, channels, 32, 32), views, 24)
        assert result.shape == (4, channels, 24, 24)
        assert torch.isfinite(result).all()
