"""Each objective's loss, and what it carries from step to step, equal a plain version written out here."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.objectives.barlow_twins import BarlowTwins, BarlowTwinsOptions
from trainables.objectives.byol import BYOL, BYOLOptions
from trainables.objectives.contract import Objective
from trainables.objectives.densecl import DenseCL, DenseCLOptions
from trainables.objectives.dino import DINO, DINOOptions
from trainables.objectives.masked import Masked, MaskedOptions
from trainables.objectives.moco import MoCo, MoCoOptions
from trainables.objectives.queue import Queue
from trainables.objectives.simclr import SimCLR, SimCLROptions
from trainables.objectives.vicreg import VICReg, VICRegOptions

HEAD = {"projection_hidden": 16, "projection_size": 8}
BATCH = 6


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(ModelConfig(encoder="resnet10", width=8), 1)


@pytest.fixture
def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(BATCH, 1, 64, 64, generator=generator) for _ in range(2)]


def unit(rows: Tensor) -> Tensor:
    return torch.stack([row / row.norm() for row in rows])


def cross_entropy_of_first(similarities: list[Tensor], temperature: float) -> float:
    """-log of the first's share of the exponentials."""
    exponentials = [math.exp(float(each) / temperature) for each in similarities]
    return -math.log(exponentials[0] / sum(exponentials))


def byol(encoder: Encoder) -> BYOL:
    return BYOL(encoder, BYOLOptions(**HEAD, prediction_hidden=16), 0)


def test_byols_loss_and_gradients_equal_minus_the_mean_cosine_of_both_directions(
    encoder: Encoder, images: list[Tensor]
) -> None:
    objective = byol(encoder)
    reference = copy.deepcopy(objective)
    loss = objective(images).loss
    loss.backward()
    predict = [reference.online.predict(reference.online.project(reference.online.encoder(v))) for v in images]
    with torch.no_grad():
        target = [reference.target_project(reference.target_encoder(v)) for v in images]
    directions = ((predict[0], target[1]), (predict[1], target[0]))
    cosines = [
        (p @ t) / ((p @ p).sqrt() * (t @ t).sqrt()) for ps, ts in directions for p, t in zip(ps, ts, strict=True)
    ]
    expected = -torch.stack(cosines).mean()
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    for (name, ours), other in zip(objective.online.named_parameters(), reference.online.parameters(), strict=True):
        assert ours.grad is not None
        assert other.grad is not None
        assert torch.allclose(ours.grad, other.grad, atol=1e-6), name


def test_byols_copy_moves_towards_the_online_network_by_one_minus_the_momentum(encoder: Encoder) -> None:
    objective = byol(encoder)
    online, target = objective.online.encoder.conv1.weight, objective.target_encoder.conv1.weight
    online.data += 1.0
    before = target.detach().clone()
    objective.after_step(0, 100)  # at step 0 the momentum is its start, 0.99
    assert torch.allclose(target, 0.99 * before + 0.01 * online, atol=1e-6)
    middle, before = 1 - 0.01 * (math.cos(math.pi * 33 / 99) + 1) / 2, target.detach().clone()
    objective.after_step(33, 100)
    assert torch.allclose(target, middle * before + (1 - middle) * online, atol=1e-6)


def test_simclrs_loss_is_the_cross_entropy_of_finding_the_other_view(encoder: Encoder, images: list[Tensor]) -> None:
    objective = SimCLR(encoder, SimCLROptions(**HEAD, temperature=0.5), 0)
    rows = unit(torch.cat(copy.deepcopy(objective).online(images)[0]).detach())
    losses = []
    for index, row in enumerate(rows):
        partner = (index + BATCH) % (2 * BATCH)
        others = [row @ rows[other] for other in range(2 * BATCH) if other not in (index, partner)]
        losses.append(cross_entropy_of_first([row @ rows[partner], *others], 0.5))
    assert float(objective(images).loss.detach()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_barlow_twins_loss_is_the_distance_of_numpys_correlations_from_the_identity(
    encoder: Encoder, images: list[Tensor]
) -> None:
    objective = BarlowTwins(encoder, BarlowTwinsOptions(**HEAD, redundancy_weight=0.1), 0)
    first, second = (each.detach().double().numpy() for each in copy.deepcopy(objective).online(images)[0])
    correlations = np.corrcoef(first, second, rowvar=False)[:8, 8:]
    on, off = (np.diag(correlations) - 1) ** 2, correlations[~np.eye(8, dtype=bool)] ** 2
    loss = float(objective(images).loss.detach())
    assert loss == pytest.approx(on.sum() + 0.1 * off.sum(), rel=5e-3)  # lightly adds 1e-5 to each variance


def test_vicregs_loss_is_the_weighted_sum_of_its_three_terms(encoder: Encoder, images: list[Tensor]) -> None:
    objective = VICReg(encoder, VICRegOptions(**HEAD), 0)
    views = [each.detach().double().numpy() for each in copy.deepcopy(objective).online(images)[0]]
    invariance = np.mean((views[0] - views[1]) ** 2)
    variance = np.mean([np.maximum(0, 1 - np.sqrt(view.var(0, ddof=1) + 1e-4)) for view in views])
    covariances = [np.cov(view, rowvar=False)[~np.eye(8, dtype=bool)] for view in views]
    covariance = sum((each**2).sum() / 8 for each in covariances)
    loss = float(objective(images).loss.detach())
    assert loss == pytest.approx(25 * invariance + 25 * variance + covariance, rel=1e-4)


def test_mocos_loss_is_the_cross_entropy_of_finding_the_key_among_the_queue(
    encoder: Encoder, images: list[Tensor]
) -> None:
    objective = MoCo(encoder, MoCoOptions(**HEAD, queue_size=10), 0)
    reference = copy.deepcopy(objective)
    queries = unit(reference.query_network(images[:1])[0][0].detach())
    keys = unit(reference.key_network(images[1:])[0][0].detach())
    queue = reference.queue.keys
    losses = [
        cross_entropy_of_first([query @ key, *(query @ negative for negative in queue)], 0.2)
        for query, key in zip(queries, keys, strict=True)
    ]
    assert float(objective(images).loss.detach()) == pytest.approx(np.mean(losses), rel=1e-5)
    assert torch.allclose(objective.queue.keys, torch.cat([keys, queue[BATCH:]]), atol=1e-6)


def test_mocos_copy_moves_towards_the_query_network_by_one_minus_the_momentum(encoder: Encoder) -> None:
    objective = MoCo(encoder, MoCoOptions(**HEAD, queue_size=10), 0)
    query, key = objective.query_network.encoder.conv1.weight, objective.key_network.encoder.conv1.weight
    query.data += 1.0
    before = key.detach().clone()
    objective.after_step(7, 100)
    assert torch.allclose(key, 0.999 * before + 0.001 * query, atol=1e-6)


def moving(name: str, encoder: Encoder) -> tuple[Objective, list[tuple[nn.Module, nn.Module]]]:
    """A method that keeps a moving copy, and each trained network with its copy."""
    if name == "byol":
        byols = byol(encoder)
        return byols, [(byols.online.encoder, byols.target_encoder), (byols.online.project, byols.target_project)]
    if name == "dino":
        dino = DINO(encoder, DINOOptions(**HEAD, num_prototypes=12), 0)
        return dino, [(dino.student, dino.teacher)]
    kind, options = {"moco": (MoCo, MoCoOptions), "densecl": (DenseCL, DenseCLOptions)}[name]
    contrast = kind(encoder, options(**HEAD, queue_size=10), 0)
    return contrast, [(contrast.query_network, contrast.key_network)]


@pytest.mark.parametrize(("name", "momentum"), [("byol", 0.99), ("moco", 0.999), ("densecl", 0.999), ("dino", 0.996)])
def test_every_weight_of_a_copy_moves_encoders_and_heads_alike(name: str, momentum: float, encoder: Encoder) -> None:
    objective, pairs = moving(name, encoder)
    generator = torch.Generator().manual_seed(2)
    for parameter in objective.trained.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)
    before = [[each.clone() for each in copied.parameters()] for _, copied in pairs]
    objective.after_step(0, 100)
    for (trained, copied), start in zip(pairs, before, strict=True):
        for own, moved, old in zip(trained.parameters(), copied.parameters(), start, strict=True):
            assert torch.allclose(moved, momentum * old + (1 - momentum) * own, atol=1e-6)
    num_copied = sum(len(start) for start in before)
    assert num_copied == len([each for each in objective.parameters() if not each.requires_grad])


def test_a_queue_replaces_its_oldest_keys_first_and_goes_round() -> None:
    queue = Queue(5, 1)
    kept: list[float] = [float(key) for key in queue.keys]
    for start in (0, 3, 6, 9):
        batch = [float(start + each) for each in range(3)]
        queue.add(torch.tensor(batch)[:, None])
        kept = (kept + batch)[-5:]
        oldest = int(queue.position)
        assert [float(key) for key in queue.keys.roll(-oldest, 0)] == kept


def test_densecls_loss_pairs_each_place_with_the_most_similar_one_of_the_other_view(
    encoder: Encoder, images: list[Tensor]
) -> None:
    objective = DenseCL(encoder, DenseCLOptions(**HEAD, queue_size=10, dense_weight=0.3), 0)
    reference = copy.deepcopy(objective)
    features, query, places = (each.detach() for each in reference.query_network(images[0]))
    key_features, key, key_places = (each.detach() for each in reference.key_network(images[1]))
    assert features.shape == (BATCH, 4, 64)  # 64 px at stride 32
    whole, dense = [], []
    for index in range(BATCH):
        pair = unit(query[index : index + 1]) @ unit(key[index : index + 1]).T
        whole.append(cross_entropy_of_first([pair, *(unit(query[index : index + 1]) @ reference.queue.keys.T)[0]], 0.2))
        for place in range(4):
            similar = unit(features[index])[place] @ unit(key_features[index]).T
            found, own = unit(key_places[index])[int(similar.argmax())], unit(places[index])[place]
            dense.append(cross_entropy_of_first([own @ found, *(own @ reference.place_queue.keys.T)], 0.2))
    expected = 0.7 * np.mean(whole) + 0.3 * np.mean(dense)
    assert float(objective(images).loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(objective.place_queue.keys[:BATCH], unit(key_places.mean(1)), atol=1e-6)


def test_dinos_loss_centre_and_teacher_equal_a_plain_loop(encoder: Encoder, images: list[Tensor]) -> None:
    objective = DINO(encoder, DINOOptions(**HEAD, num_prototypes=12, num_local_views=1), 0)
    objective.criterion.center.add_(torch.linspace(-0.1, 0.1, 12))
    reference = copy.deepcopy(objective)
    views = [*images, images[0][..., :28, :28]]
    students = [each.detach() for each in reference.student(views)[0]]
    teachers = [each.detach() for each in reference.teacher(images)[0]]
    centre = reference.criterion.center.flatten()
    terms = [
        -float((F.softmax((t - centre) / 0.04, 0) * F.log_softmax(s / 0.1, 0)).sum())
        for i, teacher in enumerate(teachers)
        for j, student in enumerate(students)
        if i != j
        for t, s in zip(teacher, student, strict=True)
    ]
    assert float(objective(views).loss.detach()) == pytest.approx(np.mean(terms), rel=1e-5)
    moved = 0.9 * centre + 0.1 * torch.cat(teachers).mean(0)
    assert torch.allclose(objective.criterion.center.flatten(), moved, atol=1e-6)
    student, teacher = objective.student.encoder.conv1.weight, objective.teacher.encoder.conv1.weight
    student.data += 1.0
    before = teacher.detach().clone()
    objective.after_step(0, 100)
    assert torch.allclose(teacher, 0.996 * before + 0.004 * student, atol=1e-6)


def test_dinos_outputs_are_cosines_with_its_prototypes(encoder: Encoder, images: list[Tensor]) -> None:
    objective = DINO(encoder, DINOOptions(**HEAD, num_prototypes=12), 0)
    head = objective.student.project
    features = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = [[F.cosine_similarity(p, q, 0) for q in head.prototypes.weight] for p in head.mlp(features)]
        assert torch.allclose(head(features), torch.tensor(expected), atol=1e-6)


class Seen:
    """What an encoder is shown."""

    def __init__(self, encoder: Encoder) -> None:
        self.images: list[Tensor] = []
        encoder.conv1.register_forward_pre_hook(lambda _, inputs: self.images.append(inputs[0].clone()))


def test_a_masked_image_is_predicted_where_it_was_masked_alone(encoder: Encoder, images: list[Tensor]) -> None:
    seen = Seen(encoder)
    objective = Masked(encoder, MaskedOptions(patch_size=16, mask_share=0.6), 0)
    with torch.no_grad():
        for parameter in objective.predictor.decode.parameters():
            parameter.fill_(0)
        objective.predictor.decode[0].bias.fill_(0.5)
    loss = float(objective(images[:1]).loss.detach())
    masked = seen.images[0] == 0
    assert torch.equal(seen.images[0][~masked], images[0][~masked])
    patches = masked.view(BATCH, 4, 16, 4, 16).float().mean((2, 4))
    assert set(patches.flatten().tolist()) == {0.0, 1.0}
    assert patches.sum((1, 2)).tolist() == [10.0] * BATCH  # the ceiling of 0.6 of 16 patches
    assert loss == pytest.approx(float((images[0][masked] - 0.5).abs().mean()), rel=1e-5)


def test_a_prediction_of_the_truth_costs_nothing_and_lies_where_the_image_does(encoder: Encoder) -> None:
    objective = Masked(encoder, MaskedOptions(patch_size=16), 0)
    ramp = torch.arange(32.0 * 32).view(1, 1, 32, 32) + 1
    with torch.no_grad():
        objective.predictor.decode[0].weight.fill_(0)
        objective.predictor.decode[0].bias.copy_(ramp.flatten())
    tiled = ramp.repeat(2, 1, 2, 2)[..., :48, :48]  # no multiple of the stride
    assert float(objective([tiled]).loss.detach()) == 0


def test_masks_differ_between_batches_and_images_and_go_on_from_a_saved_state(
    encoder: Encoder, images: list[Tensor]
) -> None:
    seen = Seen(encoder)
    objective = Masked(encoder, MaskedOptions(patch_size=8), 0)
    saved = objective.state_dict()
    objective(images[:1])
    objective(images[:1])
    objective.load_state_dict(saved)
    objective(images[:1])
    objective(images[:1])
    first, second, *again = (each == 0 for each in seen.images)
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first[0], first[1])
