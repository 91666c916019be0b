"""The device that computes features: naming it, and giving it chunks that it can hold."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from turbomode_assets.contracts.devices import Device, choose_device
from turbomode_assets.contracts.errors import TurbomodeError

CUDA_MEMORY_SHARE = 0.5
"""How much of the device's free memory a chunk may take."""


def device_name(device: Device) -> str:
    """Name what `device` resolves to here, for metadata: `cpu`, or `cuda` and the card's name."""
    place = choose_device(device)
    return f"cuda: {torch.cuda.get_device_name(place)}" if place.type == "cuda" else "cpu"


def cut(total: int, size: int) -> list[slice]:
    """Cut 0..total into slices of at most `size`, at least one for each core."""
    size = max(1, min(size, math.ceil(total / cores())))
    return [slice(begin, min(begin + size, total)) for begin in range(0, total, size)]


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone says which cores are this process's
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_chunk_bars(place: torch.device, bytes_per_bar: int) -> int:
    """How many bars a chunk may hold, by the memory that is free now."""
    free, _ = torch.cuda.mem_get_info(place)
    return int(free * CUDA_MEMORY_SHARE / bytes_per_bar)


def run_chunks(work: Callable[[slice], None], chunks: Sequence[slice], place: torch.device) -> None:
    """Work on all chunks: on CUDA one after the other, on the CPU with one thread for each core.

    The threads are Python's: torch's own would wait for one another after every operation.
    """
    if place.type == "cuda":
        for chunk in chunks:
            halve_until_it_fits(work, chunk)
        return
    threads = torch.get_num_threads()
    workers = min(len(chunks), cores())
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for finished in [pool.submit(work, chunk) for chunk in chunks]:
                finished.result()
    finally:
        torch.set_num_threads(threads)


def halve_until_it_fits(work: Callable[[slice], None], chunk: slice) -> None:
    """Work on a chunk; where the device runs out of memory, on its halves instead.

    Raises:
        TurbomodeError: not even one symbol or session fits.
    """
    try:
        work(chunk)
        return
    except torch.OutOfMemoryError as error:
        if chunk.stop - chunk.start == 1:
            raise TurbomodeError(
                "the device runs out of memory on the smallest chunk",
                where="features on CUDA",
                fix="free the device's memory, give fewer sessions, or use device=cpu",
            ) from error
    torch.cuda.empty_cache()
    middle = (chunk.start + chunk.stop) // 2
    halve_until_it_fits(work, slice(chunk.start, middle))
    halve_until_it_fits(work, slice(middle, chunk.stop))
