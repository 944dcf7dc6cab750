from .centernet_task import CenterNetTask as CenterNetTask
from .classification_task import ClassificationTask as ClassificationTask
from .depth_task import DepthTask as DepthTask
from .fcos_task import FcosTask as FcosTask
from .keypoint_task import KeypointTask as KeypointTask
from .retinanet_task import RetinaNetTask as RetinaNetTask
from .segmentation_task import SegmentationTask as SegmentationTask
from .yolox_task import YoloxTask as YoloxTask
