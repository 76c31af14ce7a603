"""The device line: which one, or what is wrong with the GPU and what helps."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cspine import devices
from cspine.devices import device_of
from cspine.errors import CspineError

CARD = SimpleNamespace(name="Tesla T4", total_memory=16_106_127_360, major=7, minor=5)


def refuse(text: str) -> Callable[..., Any]:
    def raiser(*_: Any, **__: Any) -> Any:
        raise RuntimeError(text)

    return raiser


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A torch that was built for CUDA and sees a T4; only computing there is made up."""
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_75", "sm_90", "compute_90"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _=None: CARD)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(2))
    return monkeypatch


def test_a_gpu_that_computes_is_named_with_its_memory_capability_and_precision(
    gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device, precision = device_of("auto", "auto")
    assert (device.type, precision.name) == ("cuda", "fp16")
    assert capsys.readouterr().err == "device: cuda, Tesla T4, 15.0 GiB, compute capability 7.5, fp16\n"


FAULTS = {
    "built without CUDA": ("version", None, r"is built without CUDA; install a CUDA build of torch"),
    "no driver": (
        "init",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        r"torch finds no NVIDIA driver; where there is an NVIDIA GPU, install its driver",
    ),
    "driver too old": (
        "init",
        "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver",
        r"the NVIDIA driver is too old \(it is for CUDA 11.4\) for this torch \(CUDA 12.4\); update the driver",
    ),
    "no card": ("init", "No CUDA GPUs are available", r"the driver shows no GPU; is CUDA_VISIBLE_DEVICES empty"),
    "no kernel image": (
        "ones",
        "CUDA error: no kernel image is available for execution on the device",
        r"has no code for this GPU, only for sm_70 sm_75 sm_90 compute_90; choose another GPU",
    ),
    "memory full": ("ones", "CUDA error: out of memory", r"memory is full before anything began; see `nvidia-smi`"),
    "anything else": (
        "ones",
        "CUDA error: unspecified launch failure\nmore",
        r"CUDA error: unspecified launch failure;",
    ),
}


@pytest.mark.parametrize(("where", "text", "words"), FAULTS.values(), ids=list(FAULTS))
def test_what_is_wrong_with_a_gpu_is_said_with_the_remedy(
    gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, text: Any, words: str
) -> None:
    if where == "version":
        gpu.setattr(torch.version, "cuda", None)
    else:
        gpu.setattr(torch.cuda if where == "init" else torch, where, refuse(text))
    with pytest.raises(CspineError, match=rf"runtime.device: cuda:0: torch cannot compute there: .*{words}"):
        device_of("cuda:0", "auto")
    device, precision = device_of("auto", "auto")
    said = capsys.readouterr().err
    assert (device.type, precision.name) == ("cpu", "fp32")
    assert said.startswith("device: cpu, ") and "fp32; no GPU is used: " in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("capability", "known"),
    [
        ((6, 0), False),
        ((6, 1), False),
        ((7, 0), True),
        ((7, 5), True),
        ((8, 6), False),
        ((9, 0), True),
        ((12, 0), True),
    ],
)
def test_a_card_this_torch_holds_no_code_for_is_named_before_it_is_tried(
    gpu: pytest.MonkeyPatch, capability: tuple[int, int], known: bool
) -> None:
    """Binaries run on cards of the same generation that are as new or newer, PTX on anything newer."""
    gpu.setattr(torch.cuda, "get_device_capability", lambda _=None: capability)
    gpu.setattr(torch.cuda, "get_device_name", lambda _=None: "Tesla P100-PCIE-16GB")
    wrong = devices.what_is_wrong(torch.device("cuda"))
    assert (wrong == "") == known
    if not known:
        assert f"has no code for Tesla P100-PCIE-16GB (sm_{capability[0]}{capability[1]}), only for sm_70" in wrong


def test_a_gpu_that_is_not_there_is_named_with_how_many_there_are(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", refuse("Invalid device id"))
    with pytest.raises(CspineError, match=r"cuda:7 does not exist: there are 1 GPUs, counted from cuda:0"):
        device_of("cuda:7", "auto")


def test_the_cpu_is_taken_without_asking_when_it_is_wanted(
    gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.setattr(torch.cuda, "init", refuse("must not be asked"))
    assert device_of("cpu", "bf16")[1].name == "bf16"
    assert "no GPU" not in capsys.readouterr().err
