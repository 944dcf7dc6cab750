"""A file of plain Python values becomes a checked config, and a config becomes objects."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
