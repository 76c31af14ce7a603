"""Where torch computes, and when that is not the GPU, why."""

from __future__ import annotations

import re
import warnings

import torch

from cspine.errors import CspineError
from cspine.precision import Precision, Wanted, precision_of
from cspine.progress import note, say

GIB = 2**30


def device_of(wanted: str, precision: Wanted) -> tuple[torch.device, Precision]:
    """The device for ``runtime.device`` (auto | cpu | cuda | cuda:1) and its precision; one line says which and why.

    ``cuda`` is tried out, not believed: a torch built without the card's architecture says it is there and then fails.

    Raises:
        CspineError: a device named by the user cannot compute; ``auto`` says so and takes the CPU.
    """
    device, why_not = torch.device("cpu"), ""
    if wanted != "cpu":
        card = torch.device("cuda" if wanted == "auto" else wanted)
        why_not = what_is_wrong(card)
        if not why_not:
            device = card
        elif wanted != "auto":
            raise CspineError(
                f"runtime.device: {wanted}: torch cannot compute there: {why_not}; or set runtime.device: cpu"
            )
    chosen = precision_of(device, precision)
    note("device", str(device))
    say(f"device: {described(device)}, {chosen.name}" + (f"; no GPU is used: {why_not}" if why_not else ""))
    return device, chosen


def described(device: torch.device) -> str:
    """A device in words: name, memory, compute capability."""
    if device.type != "cuda":
        return f"{device}, {torch.get_num_threads()} threads"
    card = torch.cuda.get_device_properties(device)
    return f"{device}, {card.name}, {card.total_memory / GIB:.1f} GiB, compute capability {card.major}.{card.minor}"


def what_is_wrong(device: torch.device) -> str:
    """Why torch cannot compute on a CUDA device, and the remedy; "" when it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch ({torch.__version__}) is built without CUDA; install a CUDA build of torch"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is said here
            torch.cuda.init()
            wrong = _unknown_card(device)
            if not wrong:
                (torch.ones(2, device=device) * 2).sum().item()
            return wrong
    except Exception as error:
        return _explained(str(error), device)


def _unknown_card(device: torch.device) -> str:
    """Whether this torch holds no code for the card; its own binaries, or PTX that the driver translates."""
    built, (major, minor) = torch.cuda.get_arch_list(), torch.cuda.get_device_capability(device)
    for kind, number in re.findall(r"(sm|compute)_(\d+)", " ".join(built)):
        of = (int(number[:-1]), int(number[-1]))
        if of <= (major, minor) and (kind == "compute" or of[0] == major):
            return ""
    if not built or torch.version.hip is not None:  # another build names its cards otherwise: the trial will tell
        return ""
    return _no_code_for(f"{torch.cuda.get_device_name(device)} (sm_{major}{minor})")


def _no_code_for(card: str) -> str:
    return (
        f"this torch ({torch.__version__}, CUDA {torch.version.cuda}) has no code for {card}, only for "
        f"{' '.join(torch.cuda.get_arch_list())}; choose another GPU (of Kaggle's: the T4, not the P100) or install "
        "a torch built for it"
    )


def _explained(text: str, device: torch.device) -> str:
    first = text.strip().splitlines()[0].rstrip(".") if text.strip() else "no reason given"
    if "no NVIDIA driver" in text:
        return "torch finds no NVIDIA driver; where there is an NVIDIA GPU, install its driver or switch the GPU on"
    if "driver on your system is too old" in text:
        found = re.search(r"found version (\d+)", text)
        version = f" (it is for CUDA {int(found[1]) // 1000}.{int(found[1]) % 1000 // 10})" if found else ""
        return (
            f"the NVIDIA driver is too old{version} for this torch (CUDA {torch.version.cuda}); update the driver, or "
            "install a torch built for an older CUDA"
        )
    if "No CUDA GPUs" in text:
        return "the driver shows no GPU; is CUDA_VISIBLE_DEVICES empty, or the GPU switched off?"
    if "invalid device ordinal" in text or "Invalid device id" in text:
        return f"{device} does not exist: there are {torch.cuda.device_count()} GPUs, counted from cuda:0"
    if "no kernel image" in text:
        return _no_code_for("this GPU")
    if "out of memory" in text:
        return "the GPU's memory is full before anything began; see `nvidia-smi` for who holds it"
    return f"{first}; `nvidia-smi` and a restart of the machine's driver may say more"
