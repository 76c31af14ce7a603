"""The losses: the metric's weights, terms that add up over parts, unknown cells that teach nothing; and mixup."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cspine.losses import OUTPUTS, TARGETS, FractureLoss
from cspine.mixup import Blend, blend_of
from training_makers import config_of

NAN = float("nan")


def drawn(outputs: int, examples: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and weights of examples of which one shows a fracture and two know which vertebrae they show."""
    logits = torch.randn(examples, outputs, generator=torch.Generator().manual_seed(1))
    target = torch.zeros(examples, len(TARGETS))
    target[2, 3] = target[2, 14] = 1
    target[:, 15:] = 1  # trusted
    target[:, 7:14] = NAN
    target[1:3, 7:14] = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, NAN])
    return logits, target, torch.tensor([1.0, 2.0, 0.5, 1.0, 0.0])


def bce(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def test_the_competition_loss_is_the_metrics_weighted_mean() -> None:
    logits, target, weight = drawn(7)
    weights = weight[:, None] * (1 + target[:, :7])  # a fractured vertebra counts twice
    expected = (weights * bce(logits, target[:, :7])).sum() / weights.sum()
    assert torch.isclose(FractureLoss(config_of())(logits, target, weight), expected)


def test_the_patient_term_is_the_loss_of_the_noisy_or() -> None:
    logits, target, _ = drawn(7)
    p, truth, patient = torch.sigmoid(logits), target[:, :7], target[:, 14]
    losses = functional.binary_cross_entropy(p, truth, reduction="none")
    patient_losses = functional.binary_cross_entropy(1 - (1 - p).prod(1), patient, reduction="none")
    weights, patient_weights = 1 + truth, 7 + 7 * patient
    expected = ((weights * losses).sum() + (patient_weights * patient_losses).sum()) / (
        weights.sum() + patient_weights.sum()
    )
    found = FractureLoss(config_of(patient_term=True))(logits, target, torch.ones(5))
    assert torch.isclose(found, expected, atol=1e-5)


def test_bce_has_the_slices_weights_only() -> None:
    logits, target, weight = drawn(7)
    expected = (weight[:, None] * bce(logits, target[:, :7])).sum() / (7 * weight.sum())
    assert torch.isclose(FractureLoss(config_of(loss="bce"))(logits, target, weight), expected)


def test_the_focal_loss_without_focus_is_the_competitions() -> None:
    logits, target, weight = drawn(7)
    plain, flat, focused = (
        FractureLoss(config)(logits, target, weight)
        for config in (config_of(), config_of(loss="focal", focal_gamma=0.0), config_of(loss="focal"))
    )
    assert torch.isclose(plain, flat) and focused < flat


def test_auxiliary_terms_are_means_over_what_is_known() -> None:
    config = config_of(presence_weight=0.5, any_fracture_weight=0.25)
    loss = FractureLoss(config)
    logits, target, weight = drawn(len(loss.outputs))
    assert loss.outputs == OUTPUTS
    fractures = FractureLoss(config_of())(logits[:, :7], target, weight)
    presence = bce(logits[1:3, 7:13], target[1:3, 7:13]).mean()  # rows 1 and 2, without their last cell
    anything = (weight * bce(logits[:, 14], target[:, 14])).sum() / weight.sum()
    assert torch.isclose(loss(logits, target, weight), fractures + 0.5 * presence + 0.25 * anything)


def test_an_unknown_vertebra_teaches_nothing_and_no_nan_gets_out() -> None:
    loss = FractureLoss(config_of(presence_weight=1.0))
    logits, target, weight = drawn(len(loss.outputs))
    logits.requires_grad_()
    loss(logits, target, weight).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert (logits.grad[[0, 3, 4], 7:] == 0).all() and (logits.grad[:, 13] == 0).all()
    assert (logits.grad[1:3, 7:13] != 0).all()


def test_a_batch_in_which_no_vertebra_is_known_has_the_fracture_loss_only() -> None:
    loss = FractureLoss(config_of(presence_weight=1.0))
    logits, target, weight = drawn(len(loss.outputs))
    target[:, 7:14] = NAN
    assert torch.isclose(loss(logits, target, weight), FractureLoss(config_of())(logits[:, :7], target, weight))


@pytest.mark.parametrize("changes", [{"patient_term": True}, {"presence_weight": 1.0, "any_fracture_weight": 1.0}])
def test_sums_and_norms_add_up_over_parts(changes: dict[str, object]) -> None:
    loss = FractureLoss(config_of(**changes))
    logits, target, weight = drawn(len(loss.outputs))
    parts = [slice(0, 1), slice(1, 5)]
    whole = loss.sums(logits, target, weight), loss.norms(target, weight)
    sums = sum(loss.sums(logits[p], target[p], weight[p]) for p in parts)
    norms = sum(loss.norms(target[p], weight[p]) for p in parts)
    assert torch.allclose(whole[0], torch.as_tensor(sums)) and torch.allclose(whole[1], torch.as_tensor(norms))


EVERY_TERM = {"patient_term": True, "presence_weight": 0.3, "any_fracture_weight": 0.2}


def test_full_confidence_changes_no_bit_of_sums_or_norms() -> None:
    loss = FractureLoss(config_of(**EVERY_TERM))
    logits, target, weight = drawn(len(loss.outputs), examples=5)
    weights = weight[:, None] * (1 + target[:, :7])
    found = loss.sums(logits, target, weight), loss.norms(target, weight)
    patient = 7 * weight[:, None] * (1 + target[:, 14:15])
    evidence = functional.softplus(logits[:, :7]).sum(1, keepdim=True)
    log_p = torch.log(-torch.expm1(-evidence.clamp_min(1e-7)))
    of_patient = (patient * ((1 - target[:, 14:15]) * evidence - target[:, 14:15] * log_p)).sum()
    assert torch.equal(found[0][0], (weights * bce(logits[:, :7], target[:, :7])).sum() + of_patient)
    assert torch.equal(found[0][2], (weight[:, None] * bce(logits[:, 14:], target[:, 14:15])).sum())
    assert torch.equal(found[1][0], weights.sum() + patient.sum()) and torch.equal(found[1][2], weight.sum())


def test_a_cell_without_confidence_has_no_gradient_and_no_norm() -> None:
    loss = FractureLoss(config_of(**EVERY_TERM | {"patient_term": False}))
    logits, target, weight = drawn(len(loss.outputs))
    before = loss.norms(target, weight)
    target[2, 15 + 3] = target[2, 22] = target[0, 15] = 0
    logits.requires_grad_()
    loss(logits, target, weight).backward()
    assert logits.grad is not None and logits.grad[2, 3] == logits.grad[2, 14] == logits.grad[0, 0] == 0
    assert logits.grad[0, 1] != 0 and logits.grad[0, 14] != 0
    lost = before - loss.norms(target, weight)
    assert torch.allclose(lost, torch.tensor([2 * 0.5 + 1.0, 0.0, 0.5]))


def test_confidence_multiplies_the_weight_of_its_cell() -> None:
    loss = FractureLoss(config_of())
    logits, target, weight = drawn(7)
    half = target.clone()
    half[:, 15:22] = torch.rand(5, 7, generator=torch.Generator().manual_seed(2))
    weights = weight[:, None] * (1 + target[:, :7]) * half[:, 15:22]
    expected = (weights * bce(logits, target[:, :7])).sum() / weights.sum()
    assert torch.isclose(loss(logits, half, weight), expected)


def test_the_gradient_of_a_soft_label_is_the_distance_from_it() -> None:
    loss = FractureLoss(config_of(loss="bce"))
    logits, target, _ = drawn(7, examples=3)
    target[:, :7] = torch.rand(3, 7, generator=torch.Generator().manual_seed(3))
    logits.requires_grad_()
    loss(logits, target, torch.ones(3)).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, (torch.sigmoid(logits.detach()) - target[:, :7]) / 21, atol=1e-6)


def test_a_blend_mixes_confidence_as_it_mixes_labels() -> None:
    _, target, _ = drawn(7)
    target[0, 15:] = 0.5
    mixed = Blend(0.5, torch.tensor([1, 0, 3, 2, 4])).of(target)
    assert (mixed[:2, 15:] == 0.75).all() and (mixed[2:, 15:] == 1).all()


def test_a_blend_is_the_weighted_mean_of_two_examples() -> None:
    values = torch.tensor([[0, 100], [10, 200], [20, 50]], dtype=torch.uint8)
    blend = Blend(0.75, torch.tensor([1, 2, 0]))
    assert torch.allclose(blend.of(values), torch.tensor([[2.5, 125.0], [12.5, 162.5], [15.0, 62.5]]))
    assert torch.equal(blend.of(values, slice(1, 3)), blend.of(values)[1:3])


def test_what_is_unknown_of_either_example_is_unknown_of_their_blend() -> None:
    target = torch.tensor([[1.0, NAN], [0.0, 1.0], [1.0, 0.0]])
    mixed = Blend(0.5, torch.tensor([1, 2, 0])).of(target)
    assert mixed.isnan().tolist() == [[False, True], [False, False], [False, True]]


def test_a_blend_is_a_function_of_seed_epoch_and_step() -> None:
    device = torch.device("cpu")
    one, same, other = (blend_of(50, 0.4, device, 7, 0, step) for step in (3, 3, 4))
    assert one is not None and same is not None and other is not None
    assert one.share == same.share != other.share and torch.equal(one.partner, same.partner)
    assert sorted(one.partner.tolist()) == list(range(50)) and blend_of(50, 0.0, device, 7, 0, 3) is None
