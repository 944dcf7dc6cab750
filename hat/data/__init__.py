"""Disk into batches: data sets, transforms, samplers, collates and one loader over all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
