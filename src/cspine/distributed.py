"""What the processes of one stage have in common: sums, decisions, and a network that all of them teach.

``ALONE`` is the group of a single process and does nothing: each sum is what it was, to the bit. In ``Several`` small
numbers and decisions go over gloo, gradients over NCCL where there are GPUs. Whatever a process decides by its own
clock, memory or signals (to pause, that a batch fits) goes through ``agreed`` or ``most``, so that all do the same.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cspine import peers
from cspine.errors import CspineError
from cspine.runtime import runtime

PATIENCE = timedelta(minutes=10)  # with a process that lives and does not answer: it may be saving to a slow disk
WORDS = 160  # bytes of a reason that all hear
_meetings: Counter[str | None] = Counter()  # so far: a file serves one of them

Thing = TypeVar("Thing")


class Group:
    """One process."""

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in each of them."""
        return values

    def most(self, number: int) -> int:
        """The largest of the processes' numbers."""
        return number

    def agreed(self, why: str | None) -> str | None:
        """What the first process that says anything says."""
        return why

    def spread(self, network: nn.Module) -> nn.Module:
        """``network``, whose gradient is from now on the mean of all processes'."""
        return network

    def apart(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Within, gradients of what ``spread`` has given are kept and not shared yet."""
        return contextlib.nullcontext()

    def level(self, network: nn.Module) -> None:
        """Have all processes go on with the mean of their running statistics."""

    def own(self, things: Sequence[Thing]) -> Sequence[Thing]:
        """Those of ``things`` that are this process's to do."""
        return things[self.rank :: self.size]

    def put_together(self, lengths: Sequence[int], found: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """The rows of all things, which each process has of its ``own``, in the order of the things.

        Args:
            lengths: rows of each thing.
            found: (rows, columns) of this process's own, one after the other; None where it has none.
        """
        columns = self.most(0 if found is None else found.shape[1])
        owners = np.repeat(np.arange(len(lengths)) % self.size, lengths)
        rows = torch.zeros(len(owners), columns)
        if found is not None:
            rows[torch.from_numpy(owners == self.rank)] = torch.from_numpy(found)
        return self.sum(rows).numpy()  # each row is one process's, plus zeros: the same bits


ALONE = Group()


class Several(Group):
    """One of several processes, which all make the same calls in the same order."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def sum(self, values: Tensor) -> Tensor:
        """See Group."""
        total = values.clone()
        if total.numel():
            dist.all_reduce(total)
        return total

    def most(self, number: int) -> int:
        """See Group."""
        found = torch.tensor([number], dtype=torch.int64)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found.item())

    def agreed(self, why: str | None) -> str | None:
        """See Group; longer reasons are cut."""
        own = torch.tensor(list((why or "").encode()[:WORDS].ljust(WORDS, b"\0")), dtype=torch.uint8)
        said = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(said, own)
        texts = (bytes(text.tolist()).rstrip(b"\0").decode(errors="ignore") for text in said)
        return next(filter(None, texts), None)

    def spread(self, network: nn.Module) -> nn.Module:
        """See Group."""
        return DistributedDataParallel(network, gradient_as_bucket_view=True)

    def apart(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """See Group."""
        assert isinstance(network, DistributedDataParallel)
        return network.no_sync()

    def level(self, network: nn.Module) -> None:
        """See Group."""
        found = statistics_of(network)
        if found:
            means = self.sum(torch.cat(found)) / self.size
            for values, mean in zip(found, means.split([len(values) for values in found]), strict=True):
                values.copy_(mean)


def statistics_of(network: nn.Module) -> list[Tensor]:
    """The running means and variances that the next batch will move."""
    kinds = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    found = [(module.running_mean, module.running_var) for module in kinds if module.training]
    return [values for pair in found for values in pair if values is not None]


def of_all_processes(network: nn.Module) -> None:
    """Let batch normalisation see the whole batch and not one process's part of it; in place, names stay.

    Only GPUs have that in torch: on CPUs each part is normalised by itself.
    """
    from timm.layers import convert_sync_batchnorm

    if next(network.parameters()).is_cuda:
        for name, module in list(network.named_children()):
            setattr(network, name, convert_sync_batchnorm(module))


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """The group of the processes that do this stage (``peers``); ``ALONE`` where this is the only one.

    Raises:
        CspineError: they do not find each other.
    """
    if peers.size() == 1:
        yield ALONE
        return
    _begin()
    try:
        yield Several()
    finally:
        # one that has lost another must not wait for it; the others' ends close what is left open
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def lost_others(error: RuntimeError) -> bool:
    """Whether torch complains that another process is gone or does not answer."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "connection closed"))


def _begin() -> None:
    on_gpu = runtime().device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    meeting = os.environ.get(peers.MEETING)
    place = f"file://{meeting}-{_meetings[meeting]}" if meeting else "env://"
    _meetings[meeting] += 1
    peers.say_ready()
    peers.wait_until_ready()
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            init_method=place,
            rank=peers.rank(),
            world_size=peers.size(),
            timeout=PATIENCE,
        )
    except ValueError as error:  # torchrun's variables are not all there
        raise CspineError(
            f"{peers.SIZE} is {peers.size()}, but the processes cannot find each other: {error}; expected RANK, "
            "WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them"
        ) from error
    # older versions of torch have no such function: there NCCL's own timeout ends it
    abort = getattr(dist.distributed_c10d, "_abort_process_group", None)
    if on_gpu and abort is not None:  # a kernel that waits for a dead process's gradient waits for ever
        peers.when_one_fails(abort)
