"""Samples kept once they are made, for all worker processes."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset
from hat.data.records import decode_sample, encode_sample
from hat.data.sample import Sample
from hat.errors import HatError
from hat.seeding import SAMPLE_STREAM, derive_key, preserved_random_state, seed_everything

logger = logging.getLogger(__name__)

_FORMAT = 1
_DIGEST_BYTES = 8
_SAMPLES_PER_FOLDER = 1000
_HEADER, _NUM_BYTES, _FULL = "hat-cache.json", "num_bytes", "full"
_MEMORY_PREFIX, _LOCK = "hat-cache-", ".lock"
#: Younger folders may not have been locked yet.
_MIN_AGE_S = 60.0


class CacheError(HatError, ValueError):
    """A folder that is not the cache of this data set."""


class CachedDataset(WrapperDataset):
    """Keeps what a data set gives, so that reading and its transforms are done once.

    Every sample is kept when it is first asked for, by whichever process asks, and is
    there for all worker processes, forked or spawned. It comes back equal in every value
    and type, with NumPy's numbers as Python's. A record that is damaged or half written
    is made again.

    Whatever the data set's own transforms draw at random is drawn from the index alone
    and so is the same for ever; random transforms belong into `transform` of this one.

    Args:
        dataset: Whatever has `__len__` and `__getitem__` that returns a dict.
        folder: Where to keep samples for this run and later ones, one file each; a new
            one is made. Without it they are kept in memory (in a folder of the system's
            shared memory, where it has one), and forgotten when this process ends.
        version: Part of what a folder is known by. Change it when samples change in a way
            that the data set's class, length, first and last annotations and transforms
            do not show, such as by new pictures under old names.
        compress: Whether pictures are kept as PNG and long tensors compressed: smaller,
            but slower to write and to read.
        max_bytes: When so much is kept, no more samples are: those are made each time.
            By default there is no limit in a folder, and in memory half of what is free.
        transform: Called with every sample, kept or not; see `Dataset`.

    Raises:
        CacheError: If the folder holds something else, or samples of another data set.
            It is a ValueError.
        TypeError: When a sample is asked for that `encode_sample` cannot hold.

    Example:
        >>> digits = CachedDataset(DigitsDataset("val"), "cache")
        >>> torch.equal(digits[7]["img"], digits[7]["img"])
        True
    """

    def __init__(
        self,
        dataset: Any,
        folder: str | Path | None = None,
        *,
        version: str = "",
        compress: bool = False,
        max_bytes: int | None = None,
        transform: Transforms = None,
    ) -> None:
        super().__init__([dataset], transform=transform)
        self.compress = compress
        self.max_bytes = max_bytes
        if folder is None:
            self.folder = _memory_folder(self)
            if max_bytes is None:
                self.max_bytes = shutil.disk_usage(self.folder).free // 2
        else:
            self.folder = Path(folder).absolute()
            _claim(self.folder, _identity(dataset, version))
            (self.folder / _FULL).unlink(missing_ok=True)  # of an earlier run: to be said again
        self._is_full = False

    def __len__(self) -> int:
        return len(self.datasets[0])

    def locate(self, index: int) -> tuple[int, int]:
        return 0, index

    def load(self, index: int) -> Sample:
        path = self._path(index)
        is_damaged = False
        try:
            return _read(path)
        except FileNotFoundError:
            pass
        except ValueError as error:
            logger.warning("%s; it is made again", error)
            is_damaged = True
        sample = self._made(index)
        if self._is_full and not is_damaged:
            return sample
        record = encode_sample(sample, compress=self.compress)
        self._keep(path, record, is_counted=is_damaged)
        return decode_sample(record, str(path))

    def _made(self, index: int) -> Sample:
        """The sample as it always is, whatever was drawn before; what comes after is kept too."""
        with preserved_random_state():
            seed_everything(derive_key(0, SAMPLE_STREAM, index))
            return super().load(index)

    def _path(self, index: int) -> Path:
        group, number = divmod(index, _SAMPLES_PER_FOLDER)
        return self.folder / f"{group:06d}" / f"{number:03d}"

    def _keep(self, path: Path, record: bytes, *, is_counted: bool) -> None:
        data = hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest() + record
        try:
            if is_counted or self._has_room(len(data)):
                path.parent.mkdir(exist_ok=True)
                _write(path, data)
            else:
                self._stop_keeping(f"max_bytes = {self.max_bytes:,} are reached")
        except OSError as error:
            # No room, or another process ended and took the folder with it.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                raise
            self._stop_keeping(str(error.strerror))

    def _has_room(self, num_bytes: int) -> bool:
        """Whether this much more may be kept; if so, it counts."""
        with _locked(self.folder / _NUM_BYTES) as descriptor:
            total = int(os.pread(descriptor, 20, 0) or 0) + num_bytes
            if self.max_bytes is not None and total > self.max_bytes:
                return False
            os.pwrite(descriptor, b"%020d" % total, 0)
        return True

    def _stop_keeping(self, reason: str) -> None:
        self._is_full = True
        try:
            (self.folder / _FULL).touch(exist_ok=False)
        except FileExistsError:
            return  # another process has said it
        except OSError:
            pass
        logger.warning("%s: %s: further samples are not cached", self.folder, reason)


def _read(path: Path) -> Sample:
    data = memoryview(path.read_bytes())
    digest, record = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest() != digest:
        raise ValueError(f"{path}: damaged: its checksum does not fit")
    return decode_sample(record, str(path))


def _write(path: Path, data: bytes) -> None:
    """All of a file or nothing; not flushed, since what a power cut spoils is made again."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Make a folder the cache of a data set, or see that it is.

    Raises:
        CacheError: If it is something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / _HEADER
    if not header.exists():
        # Names with a dot are of this or another process that claims it now.
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise CacheError(f"{folder}: holds other files and is no cache: name an empty folder")
        _write(header, json.dumps(identity, indent=1).encode())
    try:
        found = json.loads(header.read_bytes())
    except ValueError as error:
        raise CacheError(f"{header}: damaged ({error}): remove the folder") from error
    for name, value in identity.items():
        if found.get(name) != value:
            raise CacheError(
                f"{folder}: is the cache of another data set: its {name} is "
                f"{found.get(name)!r}, that of this one {value!r}. Name another folder or "
                "remove this one"
            )


def _identity(dataset: Any, version: str) -> dict[str, Any]:
    """What tells the cache of a data set from those of others."""
    length = len(dataset)
    return {
        "format": _FORMAT,
        "version": version,
        "dataset": _described(dataset),
        "length": length,
        "annotations": [_annotation_digest(dataset, n) for n in (0, length - 1) if length],
    }


def _described(dataset: Any) -> str:
    """Class and transforms of a data set and of those in it."""
    inner: Sequence[Any] = getattr(dataset, "datasets", [])
    parts = [*map(_described, inner)]
    if getattr(dataset, "transform", None) is not None:
        # Addresses differ from run to run.
        parts.append(re.sub(r" at 0x[0-9a-f]+", "", repr(dataset.transform)))
    return f"{type(dataset).__name__}({', '.join(parts)})"


def _annotation_digest(dataset: Any, index: int) -> str:
    if not hasattr(dataset, "annotation"):
        return ""
    with preserved_random_state():
        seed_everything(derive_key(0, SAMPLE_STREAM, index))
        try:
            record = encode_sample(dataset.annotation(index), compress=False)
        except (OSError, ValueError):  # a bad file must not be an error before it is drawn
            return "cannot be read"
    return hashlib.blake2b(record, digest_size=_DIGEST_BYTES).hexdigest()


def _memory_folder(owner: Any) -> Path:
    """A new folder in memory that goes when its owner does, or this process."""
    shared = Path("/dev/shm")
    root = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    _remove_forgotten(root)
    folder = Path(tempfile.mkdtemp(prefix=_MEMORY_PREFIX, dir=root))
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    weakref.finalize(owner, _remove, folder, descriptor, os.getpid())
    return folder


def _remove(folder: Path, descriptor: int, owner_pid: int) -> None:
    if os.getpid() == owner_pid:  # not in a worker that was forked
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_forgotten(root: Path) -> None:
    """Remove what processes left that were killed: the system took their locks away."""
    for folder in root.glob(f"{_MEMORY_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < _MIN_AGE_S:
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
