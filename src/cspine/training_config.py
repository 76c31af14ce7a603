"""How a network is trained: the ``training`` block of a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Every way of training that the loop knows; what is 0 or ``none`` of it is left out."""

    epochs: int  # the figures on `select` are taken after each
    epoch_steps: int  # optimiser steps of an epoch; 0 = one pass over the training set
    batch_size: int | Literal["auto"]  # examples per optimiser step; auto = what the device holds, found out once
    accumulate: int  # parts in which a batch goes through the network; 1 = at once
    learning_rate: float  # the highest of the schedule
    optimizer: str  # any name of timm.optim
    weight_decay: float  # of weights; biases and normalisation layers have none
    schedule: str  # constant | cosine | tanh | poly (a straight line), over all steps
    warmup_steps: int  # optimiser steps in which the learning rate rises to its highest
    min_learning_rate: float  # at the end of a falling schedule
    ema: float  # decay of the averaged weights, which are evaluated and kept; 0 = off
    mixup: float  # alpha of the Beta distribution that two examples are blended by; 0 = off
    loss: Literal["competition", "bce", "focal"]
    focal_gamma: float  # of the focal loss: how little easy examples count
    patient_term: bool  # add the patient's loss on the noisy-or of the vertebrae (loss: competition)
    presence_weight: float  # of a second loss: which vertebrae the slice shows; 0 = no such output
    any_fracture_weight: float  # of a third loss: whether the slice shows any fracture; 0 = no such output
    sampling: Literal["natural", "balanced"]  # as the training set is, or a fixed share of positive examples
    positive_share: float  # of a batch that is sampled balanced
    patience: int  # epochs without a lower select loss after which the training stops; 0 = never
    keep: Literal["last", "best"]  # the epoch whose weights become the model; best = least select loss
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    clip_gradient: float  # largest norm of the gradient; 0 = off
    threads: int  # torch's threads: results repeat byte for byte for the same number
    augment_on: Literal["cpu", "device"] = "cpu"  # one by one by albumentations, or whole batches by torch
    compile: bool = False  # torch.compile
    cycles: int = 1  # falls of the schedule, each from the highest learning rate again (warm restarts)
