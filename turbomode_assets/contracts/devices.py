"""The device that computes: the CPU, or CUDA where there is one."""

from typing import TYPE_CHECKING, Literal

from turbomode_assets.contracts.errors import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


def choose_device(device: Device) -> "torch.device":
    """Resolve `auto`, and refuse CUDA where there is none.

    Raises:
        InputError: the name is unknown, or CUDA is asked for and torch sees no CUDA device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {device}", where="device", fix="use auto, cpu or cuda")
    # Seconds to load, and most who import from `contracts` compute nothing.
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError(
            "CUDA is asked for, but torch sees no CUDA device",
            where="device=cuda",
            fix="use device=auto or device=cpu, or install a torch build for your GPU",
        )
    return torch.device("cuda" if available and device != "cpu" else "cpu")
