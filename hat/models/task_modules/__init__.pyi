from .fcos_task import FcosTask as FcosTask
from .retinanet_task import RetinaNetTask as RetinaNetTask
from .segmentation_task import SegmentationTask as SegmentationTask
from .yolox_task import YoloxTask as YoloxTask
