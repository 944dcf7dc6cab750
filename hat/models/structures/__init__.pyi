from .classifier import Classifier as Classifier
from .encoder_decoder import EncoderDecoder as EncoderDecoder
from .graph_model import GraphModel as GraphModel
from .one_stage_detector import OneStageDetector as OneStageDetector
from .segmentor import Segmentor as Segmentor
from .two_stage_detector import TwoStageDetector as TwoStageDetector
