"""File names that come from annotations, which somebody else may have written."""

import re
from pathlib import Path

_DRIVE = re.compile(r"[A-Za-z]:")


def path_inside(root: str | Path, name: str) -> Path:
    r"""The file of this name in a folder.

    The name alone decides: it may not be absolute, hold `..`, a drive letter, a backslash
    or a NUL. Nothing is looked up on disk, so a link that the owner of the folder has
    placed in it is followed, as a folder of links to a store elsewhere needs.

    Args:
        root: The folder.
        name: A path relative to it, with `/` between its parts.

    Raises:
        ValueError: If the name could lead out of the folder, or names no file.

    Example:
        >>> path_inside("coco", "val/1.jpg").as_posix()
        'coco/val/1.jpg'
        >>> path_inside("coco", "../secrets.jpg")
        Traceback (most recent call last):
        ValueError: coco: the file name '../secrets.jpg' leads out of the folder
    """
    if not isinstance(name, str):
        raise ValueError(f"{root}: a file name must be a text, got {name!r}")
    if "\0" in name or "\\" in name or _DRIVE.match(name):
        raise ValueError(
            f"{root}: the file name {name!r} has a NUL, a backslash or a drive letter; "
            "names are relative to the folder, with / between parts"
        )
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"{root}: the file name {name!r} leads out of the folder")
    if not set(parts) - {"", "."}:
        raise ValueError(f"{root}: the file name {name!r} names no file")
    return Path(root, name)
