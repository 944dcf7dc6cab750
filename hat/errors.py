"""Errors whose message says everything that the user needs."""


class HatError(Exception):
    """A mistake in data, config or files, named in the message; no traceback is shown for it."""
