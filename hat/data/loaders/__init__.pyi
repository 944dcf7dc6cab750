from .bad_samples import SkipBadSamples as SkipBadSamples
from .data_loader import DataLoader as DataLoader
from .device_prefetcher import DevicePrefetcher as DevicePrefetcher
from .multi_task_loader import MultiTaskDataLoader as MultiTaskDataLoader
