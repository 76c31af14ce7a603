"""The loss of whole studies: the competition's weights, whatever is unknown left out, parts that add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cspine.errors import CspineError
from cspine.metric import weighted_log_loss
from cspine.studies import LABELS
from cspine.study_losses import StudyLoss
from training_makers import config_of

TARGET = torch.tensor([[1.0, 0, 1, 0, 0, 0, 0, 1], [0.0] * 8, [1.0, 1, 0, 0, 0, 0, 0, 0]])
LOGITS = torch.linspace(-2, 2, 24).view(3, 8)
ONES = torch.ones(3)


def test_it_is_the_competitions_loss_of_all_eight_labels() -> None:
    found = StudyLoss(config_of())(LOGITS.double(), TARGET.double(), ONES.double())
    wanted = weighted_log_loss(TARGET.numpy(), torch.sigmoid(LOGITS.double()).numpy(), "pooled")
    assert found.item() == pytest.approx(wanted, abs=1e-12)
    assert StudyLoss(config_of()).outputs == LABELS


def test_bce_is_the_plain_mean_and_focal_lies_below_the_competitions() -> None:
    bce = StudyLoss(config_of(loss="bce"))(LOGITS, TARGET, ONES)
    assert bce.item() == pytest.approx(torch.nn.BCEWithLogitsLoss()(LOGITS, TARGET).item())
    focal, competition = (StudyLoss(config_of(loss=name))(LOGITS, TARGET, ONES) for name in ("focal", "competition"))
    assert 0 < focal < competition


@pytest.mark.parametrize("name", ["competition", "bce", "focal"])
def test_an_unknown_label_counts_in_no_sum_no_norm_and_no_gradient(name: str) -> None:
    loss, target = StudyLoss(config_of(loss=name)), TARGET.clone()
    target[0, 2] = target[1] = float("nan")  # one label of a study, and all of another
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, target, ONES)
    value.backward()
    moved = LOGITS.clone()
    moved[0, 2], moved[1] = 50, -50
    assert loss(moved, target, ONES).item() == pytest.approx(value.item())
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, target.isnan())
    without = loss(LOGITS[[0, 2]], target[[0, 2]], ONES[:2])
    assert without.item() == pytest.approx(value.item())


def test_of_a_batch_that_is_unknown_altogether_the_loss_is_0() -> None:
    value = StudyLoss(config_of())(LOGITS, torch.full_like(TARGET, float("nan")), ONES)
    assert value == 0


def test_the_parts_of_a_batch_add_up_to_the_whole_however_unequal_they_are() -> None:
    loss, weight = StudyLoss(config_of()), torch.tensor([1.0, 0.5, 2.0])
    norms = loss.norms(TARGET, weight)
    parts = [loss.sums(LOGITS[rows], TARGET[rows], weight[rows]) for rows in (slice(0, 1), slice(1, 3))]
    whole = loss(LOGITS, TARGET, weight)
    assert sum(loss.value(sums, norms).item() for sums in parts) == pytest.approx(whole.item())
    assert not np.isclose(whole, loss(LOGITS, TARGET, ONES))  # the studies' weights do count


@pytest.mark.parametrize(
    ("key", "value"), [("patient_term", True), ("presence_weight", 0.2), ("any_fracture_weight", 0.1)]
)
def test_outputs_that_only_slices_have_are_refused(key: str, value: object) -> None:
    with pytest.raises(CspineError, match=rf"training\.{key}: found (true|{value}), but .*expected (false|0)"):
        StudyLoss(config_of(**{key: value}))
