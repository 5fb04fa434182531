"""Which GPUs a job uses: leased by file lock, as Snakemake counts GPUs and assigns none."""

import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile

from hounsfield.errors import ConfigError
from hounsfield.files import private_folder
from hounsfield.locks import try_lock

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
# What this job has leased, so that what it starts does not lease it again.
LEASED = "HOUNSFIELD_LEASED_DEVICES"
NONE = {"", "-1", "none", "void", "nodevfiles"}  # the last is Slurm's


@dataclass(frozen=True)
class Device:
    """A GPU, or a MIG instance of one. name: as in CUDA_VISIBLE_DEVICES. card: what it is called in any listing.

    card is None where the driver lists no such device: then nobody can say whose it is.
    """

    name: str
    card: str | None


def count_gpus() -> int:
    """GPUs, or their MIG instances, that the driver lists; 0 without a driver. Does not start CUDA."""
    return len(list_devices())


def list_devices() -> list[Device]:
    """What the driver lists, in the order of the bus; of a GPU that is divided, its MIG instances."""
    return [device for instances in _cards() for device in instances]


def visible_devices() -> list[Device]:
    """What of the machine CUDA_VISIBLE_DEVICES leaves to this process, all of it if that is not set.

    Raises ConfigError for an entry that CUDA does not know: it would see that one, and all after it, as none.
    """
    confined = os.environ.get(VISIBLE)
    if confined is None:
        return list_devices()
    names = [name.strip() for name in confined.split(",")]
    if names[0].lower() in NONE:
        return []
    names = list(takewhile(lambda name: name != "-1", names))  # which ends the list
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{VISIBLE}={confined}: names {twice!r} twice; name each GPU once")
    cards = _cards()
    return [Device(name, _card(name, cards, confined)) for name in names]


@contextmanager
def lease_devices(n: int, poll_s: float = 1.0) -> Iterator[list[str]]:
    """Hold `n` GPUs that no other job of this user on this machine holds, and show CUDA only those.

    Yields their names: fewer than `n` where fewer are visible, [] on a machine without GPUs. Those that
    CUDA_VISIBLE_DEVICES leaves out are not touched. Must come before CUDA starts. The locks are free when the process
    ends, however it ends. Raises ConfigError for a CUDA_VISIBLE_DEVICES that names no devices.
    """
    before = {name: os.environ.get(name) for name in (VISIBLE, LEASED)}
    visible = visible_devices()
    if not visible or (before[LEASED] is not None and before[LEASED] == before[VISIBLE]):
        log.info("GPU %s, as this job was given it", before[VISIBLE] or "none")
        yield [device.name for device in visible]
        return
    n = min(n, len(visible))
    with ExitStack() as held:
        names = [device.name for device in _acquire(n, visible, poll_s, held)]
        os.environ[VISIBLE] = os.environ[LEASED] = ",".join(names)
        if before[VISIBLE] is None:
            os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the order of the driver's listing
        log.info("GPU %s of %d", os.environ[VISIBLE], len(visible))
        try:
            yield names
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _acquire(n: int, visible: Sequence[Device], poll_s: float, held: ExitStack) -> list[Device]:
    """All `n` or none at a time, so that two jobs of two GPUs never wait for each other."""
    folder, waited = private_folder(), False
    while True:
        with ExitStack() as attempt:
            taken: list[Device] = []
            for device in visible:
                if len(taken) == n:
                    break
                if device.card is None:
                    taken.append(device)
                elif (lock := try_lock(folder / f"{device.card}.lock")) is not None:
                    attempt.enter_context(lock)
                    taken.append(device)
            if len(taken) == n:
                held.push(attempt.pop_all())
                return taken
        if not waited:
            log.info("waiting for %d of %d GPUs", n, len(visible))
            waited = True
        time.sleep(poll_s)


def _cards() -> list[list[Device]]:
    """The GPUs of the driver's listing by their indices, each as itself or as its MIG instances."""
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False, timeout=60)
    cards: list[list[Device]] = []
    whole = None
    for line in listing.stdout.splitlines():
        found = re.search(r"^(GPU (\d+)|\s+MIG\b).*\(UUID: ([\w./-]+)\)", line)
        if found is None:
            continue
        _, index, uuid = found.groups()
        if index is not None:
            whole = Device(index, uuid.replace("/", "-"))
            cards.append([whole])
        elif cards:
            cards[-1] = [device for device in cards[-1] if device is not whole]
            cards[-1].append(Device(uuid, uuid.replace("/", "-")))
    return cards


def _card(name: str, cards: Sequence[Sequence[Device]], confined: str) -> str | None:
    """What an entry of CUDA_VISIBLE_DEVICES is called in any listing; a divided GPU is its first instance to CUDA."""
    if name.isdecimal():
        if int(name) < len(cards):
            return cards[int(name)][0].card
        if cards:
            log.warning("%s=%s: the driver lists %d GPUs, no %s", VISIBLE, confined, len(cards), name)
        return None
    if not re.fullmatch(r"(GPU|MIG)-[\w./-]+", name):
        raise ConfigError(f"{VISIBLE}={confined}: {name!r} is no index and no name such as GPU-... or MIG-...")
    # UUIDs may be cut short, as long as they name one.
    listed = [device.card for instances in cards for device in instances if device.card is not None]
    meant = [card for card in listed if card.startswith(name.replace("/", "-"))]
    return meant[0] if len(meant) == 1 else name.replace("/", "-")
