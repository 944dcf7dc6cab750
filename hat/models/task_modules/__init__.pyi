from .segmentation_task import SegmentationTask as SegmentationTask
from .yolox_task import YoloxTask as YoloxTask
