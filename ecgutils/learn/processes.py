"""One training in several processes, as torchrun starts them: who each is, and what they do together.

Each loss is divided by what is known in the whole batch, and gradients are added up: one process's, wherever labels are
unknown. DistributedDataParallel takes means, and refuses weights without a part in the loss (a backbone's last norm).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ecgutils.learn.model import torch_device

# One process may draw pages for hours while others wait. One that dies is noticed at once: its connection closes.
PATIENCE = timedelta(hours=6)


def rank_and_size() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are, as torchrun's variables say; (0, 1) without them."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def is_main_process() -> bool:
    """Whether this is the process, or the only one, that writes files and shows progress."""
    return rank_and_size()[0] == 0


def own_part(n: int) -> slice:
    """The part of n rows that is this process's; all parts in order are all rows."""
    rank, size = rank_and_size()
    return slice(n * rank // size, n * (rank + 1) // size)


def own_device(name: str) -> torch.device:
    """`torch_device(name)`; of several processes each has the GPU of its LOCAL_RANK."""
    device = torch_device(name)
    if device.type == "cuda" and rank_and_size()[1] > 1:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)  # its error asks whether there are enough GPUs
    return device


def all_reduce(tensors: Sequence[torch.Tensor]) -> None:
    """Add up tensors of one dtype and device over all processes, in place; the sums are the same bits in all."""
    if rank_and_size()[1] > 1:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _together():
            dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))


def gather(value: Any = None) -> list[Any]:
    """What each process gives, in all of them, by rank; so all go on when all are here. Anything that pickles."""
    values = [value] * rank_and_size()[1]
    if len(values) > 1:
        with _together():
            dist.all_gather_object(values, value)
    return values


@contextmanager
def _together() -> Iterator[None]:
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        what = "Another process of this training has ended or does not answer (its own message says why)"
        raise RuntimeError(f"{what}: start all of them again; `resume` goes on from the last checkpoint.") from error
