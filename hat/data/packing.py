"""A data set packed into one file: LMDB, a checksum for each record, whole or not there."""

import contextlib
import fcntl
import hashlib
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import lmdb
import msgpack
import torch

from hat.data.images import decode_image
from hat.data.records import encode_sample
from hat.data.sample import Sample
from hat.errors import HatError
from hat.seeding import preserved_random_state, seed_everything

logger = logging.getLogger(__name__)

FORMAT = 1
HEADER = b"hat"
PARTIAL = ".partial"
_DIGEST_BYTES = 8
_RECORDS_PER_COMMIT = 64
_FIRST_MAP_BYTES = 1 << 28
_NAMES = ("classes", "colors", "seg_classes", "seg_colors", "label_classes")


class PackError(HatError, ValueError):
    """A packed file that is not whole, or that cannot be made."""


def pack(
    dataset: Any,
    path: str | Path,
    *,
    num_workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write every sample of a data set, before its transform, into one file.

    The file appears under its name when all of it is written and flushed. Until then
    the records lie in `<path>.partial`; a second call after a first that was ended
    goes on from there.

    A picture whose file decodes to the sample's pixels is kept as that file, byte for
    byte; any other is kept as PNG.

    Args:
        dataset: A `Dataset`, or anything with `__len__` and `__getitem__` that returns
            a dict.
        path: The file; one that exists is replaced when the new one is whole.
        num_workers: Processes that read and encode; 0 does it in this one.
        on_progress: Called with the number of records that are written and of all.

    Raises:
        PackError: If a sample cannot be read, or is drawn at random; or if
            `<path>.partial` was begun with another data set.
        OSError: If the disk refuses.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    header = header_of(dataset)
    _refuse_random(dataset)
    with contextlib.closing(_Writer(partial, header)) as writer:
        missing = [index for index in range(len(dataset)) if not writer.has(index)]
        num_done = len(dataset) - len(missing)
        if num_done:
            logger.info("%s: going on behind %d records", partial, num_done)
        for index, record in _encoded(dataset, missing, num_workers):
            writer.put(index, record)
            num_done += 1
            if on_progress is not None:
                on_progress(num_done, len(dataset))
        writer.finish()
    _flush(partial)
    os.replace(partial, path)
    _flush(path.absolute().parent)


def header_of(dataset: Any) -> dict[str, Any]:
    """What a packed file says of the data set that it was made from."""
    names = {name: getattr(dataset, name, None) for name in _NAMES}
    return {
        "format": FORMAT,
        "dataset": type(dataset).__name__,
        "length": len(dataset),
        **{name: None if value is None else _plain(value) for name, value in names.items()},
        "fingerprint": _fingerprint(dataset),
    }


def _fingerprint(dataset: Any) -> str:
    """A digest of three samples, by which half a file knows what it was begun with."""
    digest = hashlib.blake2b(digest_size=16)
    with preserved_random_state():
        for index in sorted({0, len(dataset) // 2, len(dataset) - 1} & set(range(len(dataset)))):
            seed_everything(0)
            digest.update(encode_sample(load_without_transform(dataset, index), compress=False))
    return digest.hexdigest()


def record_key(index: int) -> bytes:
    """Where a record lies; in the order of the numbers."""
    return index.to_bytes(8, "big")


def sealed(record: bytes) -> bytes:
    """A record behind its checksum."""
    return hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest() + record


def unsealed(value: memoryview | bytes, name: str) -> memoryview:
    """The record of a sealed value.

    Raises:
        PackError: If a bit of it has changed.
    """
    view = memoryview(value)
    digest, record = view[:_DIGEST_BYTES], view[_DIGEST_BYTES:]
    if hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest() != digest:
        raise PackError(f"{name}: the checksum does not fit, so the file is damaged; pack it again")
    return record


def open_packed(path: str | Path) -> tuple[lmdb.Environment, dict[str, Any]]:
    """A packed file for reading, and its header.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a whole packed file.
    """
    path = Path(path)
    if not path.is_file():
        partial = path.with_name(path.name + PARTIAL)
        begun = f"; {partial} was begun: run `hat pack` again to finish it" * partial.exists()
        raise FileNotFoundError(f"{path}: no such file{begun}")
    environment = _shared_environment(path)
    # Reading a page that the file lacks would end the process with SIGBUS.
    num_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < num_bytes:
        raise PackError(
            f"{path}: cut short: {path.stat().st_size:,} bytes of {num_bytes:,} are there"
        )
    try:
        with environment.begin(buffers=True) as transaction:
            value = transaction.get(HEADER)
            if value is None:
                raise PackError(f"{path}: an LMDB file, but not one of `hat pack`")
            header = msgpack.unpackb(unsealed(value, f"{path}, header"))
    except lmdb.Error as error:
        raise PackError(f"{path}: damaged: {error}") from error
    if header["format"] != FORMAT or not header["is_whole"]:
        raise PackError(
            f"{path}: format {header['format']}, whole: {header['is_whole']}; "
            f"expected format {FORMAT} and a whole file"
        )
    return environment, header


#: LMDB opens a file once in a process, so data sets over one file share it. Without locks, an
#: environment is a mapping that reads alike in a process that is forked.
_environments: weakref.WeakValueDictionary[tuple[str, int, int], lmdb.Environment] = (
    weakref.WeakValueDictionary()
)


def _shared_environment(path: Path) -> lmdb.Environment:
    status = path.stat()
    key = (str(path.resolve()), status.st_dev, status.st_ino)
    environment = _environments.get(key)
    if environment is None:
        try:
            environment = _open(path.resolve(), readonly=True)
        except lmdb.Error as error:
            if "already open" in str(error):
                raise PackError(
                    f"{path}: was packed anew while a data set of this process reads the old "
                    "file: drop that data set first"
                ) from error
            raise PackError(f"{path}: not a packed data set: {error}") from error
        _environments[key] = environment
    return environment


def damaged_records(path: str | Path) -> Iterator[tuple[int, str | None]]:
    """Every record's number, and what is wrong with it or None, from first to last.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If the file as a whole cannot be read.
    """
    from hat.data.records import decode_sample

    environment, header = open_packed(path)
    with environment.begin(buffers=True) as transaction:
        for index in range(header["length"]):
            name = f"{path}, record {index}"
            try:
                value = transaction.get(record_key(index))
                if value is None:
                    raise PackError(f"{name}: is missing")
                decode_sample(unsealed(value, name), name)
            except (ValueError, lmdb.Error) as error:
                yield index, str(error)
            else:
                yield index, None


class _Writer:
    """Records into an unfinished file, some at a time."""

    def __init__(self, partial: Path, header: dict[str, Any]) -> None:
        self.partial = partial
        self.header = header
        self._lock = partial.open("ab")  # LMDB's own would leave a second file behind
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.environment = _open(partial, readonly=False)
        except BlockingIOError as error:
            self._lock.close()
            raise PackError(f"{partial}: another process is writing it") from error
        except lmdb.Error as error:
            self._lock.close()
            raise PackError(f"{partial}: cannot be continued ({error}): remove it") from error
        self._pending: list[tuple[bytes, bytes]] = []
        with self.environment.begin() as transaction:
            begun = transaction.get(HEADER)
        if begun is None:
            self._write([(HEADER, self._sealed_header(is_whole=False))])
        elif begun not in (self._sealed_header(is_whole=False), self._sealed_header(is_whole=True)):
            self.environment.close()
            self._lock.close()
            raise PackError(
                f"{partial} was begun with another data set than this {header['dataset']} of "
                f"{header['length']} samples: remove it, or choose another name"
            )

    def _sealed_header(self, *, is_whole: bool) -> bytes:
        return sealed(msgpack.packb(self.header | {"is_whole": is_whole}))

    def has(self, index: int) -> bool:
        """Whether an earlier call wrote this record."""
        with self.environment.begin() as transaction:
            return transaction.get(record_key(index)) is not None

    def put(self, index: int, record: bytes) -> None:
        self._pending.append((record_key(index), sealed(record)))
        if len(self._pending) >= _RECORDS_PER_COMMIT:
            self.flush()

    def flush(self) -> None:
        self._write(self._pending)
        self._pending = []

    def finish(self) -> None:
        """Say that all is there."""
        self.flush()
        self._write([(HEADER, self._sealed_header(is_whole=True))])
        self.environment.sync(True)

    def close(self) -> None:
        if self._pending:
            self.flush()
        self.environment.close()
        self._lock.close()

    def _write(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        while True:
            try:
                with self.environment.begin(write=True) as transaction:
                    for key, value in items:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:  # the transaction was taken back: try it with more room
                self.environment.set_mapsize(self.environment.info()["map_size"] * 2)


def _open(path: Path, *, readonly: bool) -> lmdb.Environment:
    size = path.stat().st_size if path.exists() else 0
    return lmdb.open(
        str(path),
        subdir=False,
        readonly=readonly,
        lock=False,  # readers never meet a writer: a file is renamed when it is whole
        readahead=False,  # the order is shuffled
        create=not readonly,
        meminit=False,
        map_size=max(size, 1) if readonly else max(_FIRST_MAP_BYTES, 2 * size),
    )


def _encoded(dataset: Any, indices: Sequence[int], num_workers: int) -> Iterator[tuple[int, bytes]]:
    if num_workers == 0:
        _set_up_worker(dataset, torch.get_num_threads())
        for index in indices:
            yield index, _encode(index)
        return
    with ProcessPoolExecutor(
        num_workers, initializer=_set_up_worker, initargs=(dataset, 1)
    ) as executor:
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        try:
            for index in indices:
                waiting.append((index, executor.submit(_encode, index)))
                if len(waiting) >= 8 * num_workers:  # no more in memory than are soon written
                    yield _finished(waiting)
            while waiting:
                yield _finished(waiting)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _finished(waiting: deque[tuple[int, "Future[bytes]"]]) -> tuple[int, bytes]:
    index, future = waiting.popleft()
    try:
        return index, future.result()
    except BrokenProcessPool as error:
        indices = [index, *(index for index, later in waiting if not later.done())]
        raise PackError(
            f"a worker died while it encoded one of the samples {indices}: see the log of the "
            "system for why (often memory)"
        ) from error


_dataset: Any = None  # of this worker process


def _set_up_worker(dataset: Any, num_threads: int) -> None:
    global _dataset
    _dataset = dataset
    torch.set_num_threads(num_threads)
    cv2.setNumThreads(num_threads)


def _encode(index: int) -> bytes:
    try:
        sample = load_without_transform(_dataset, index)
        return encode_sample(sample, files=_picture_files(sample))
    except Exception as error:
        name = f"sample {index}"
        if hasattr(_dataset, "source") and (source := _dataset.source(index)):
            name += f" ({source})"
        raise PackError(f"{name}: {type(error).__name__}: {error}") from None


def load_without_transform(dataset: Any, index: int) -> Sample:
    """A sample before the data set's own transform; a foreign data set's as it gives it."""
    if not hasattr(dataset, "load"):
        sample: Sample = dict(dataset[index])
    else:
        sample = dataset.load(index)
    sample.setdefault("img_id", index)
    return sample


def _picture_files(sample: Sample) -> dict[str, bytes]:
    """The file of `img`, if it decodes to the very pixels of the sample."""
    path, img = sample.get("img_path"), sample.get("img")
    if path is None or not isinstance(img, torch.Tensor) or not os.path.isfile(path):
        return {}
    data = Path(path).read_bytes()
    try:
        is_same = torch.equal(decode_image(data, path), img)
    except ValueError:  # the data set reads what HAT does not, such as a raw format
        return {}
    return {"img": data} if is_same else {}


def _refuse_random(dataset: Any) -> None:
    """Refuse a data set whose samples differ from draw to draw, as far as a look can tell."""
    with preserved_random_state():
        for index in range(min(4, len(dataset))):
            seed_everything(1)
            first = encode_sample(load_without_transform(dataset, index), compress=False)
            seed_everything(2)
            if first != encode_sample(load_without_transform(dataset, index), compress=False):
                raise PackError(
                    f"sample {index} of {type(dataset).__name__} is drawn at random below its own "
                    "transform: pack the data set inside it, and transform what is read back"
                )


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a header is equal to itself when it is read back."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
