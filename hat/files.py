"""Files that are whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside another, whose place it takes when the block ends well.

    Whoever reads the file meets the old one or the new one, never a part. After an error the old
    one stands and nothing stays behind. Nothing is flushed to the disk: what must outlive a power
    cut belongs into a checkpoint.

    Args:
        path: The file, in a folder that is there.

    Yields:
        The path to write to.

    Example:
        >>> with replacing(Path("scores.json")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("{}")
    """
    temporary = path.with_name(f".{path.name}.writing")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
