from .predictor import Predictor as Predictor
from .trainer import Trainer as Trainer
