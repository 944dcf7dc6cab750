"""Reads a packed file from end to end; `hat data verify` runs it in a process of its own."""

import sys

from hat.data.packing import PackError, damaged_records


def main(path: str) -> int:
    """Print each damaged record; return 1 if there is one."""
    num_records, num_damaged = 0, 0
    try:
        for _, problem in damaged_records(path):
            num_records += 1
            if problem is not None:
                num_damaged += 1
                print(f"hat: {problem}", file=sys.stderr)
    except (PackError, FileNotFoundError) as error:
        print(f"hat: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {num_records:,} records, {num_damaged:,} damaged")
    return 1 if num_damaged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
