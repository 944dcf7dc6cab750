from .accuracy import Accuracy as Accuracy
from .mean_iou import MeanIoU as MeanIoU
from .torch_metric import TorchMetric as TorchMetric
