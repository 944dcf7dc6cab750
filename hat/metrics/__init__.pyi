from .accuracy import Accuracy as Accuracy
from .torch_metric import TorchMetric as TorchMetric
