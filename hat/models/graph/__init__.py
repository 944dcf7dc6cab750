"""What `GraphModel` is made of: its topology, what it costs, its picture, its weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
