from .lidar import LidarCollate as LidarCollate
from .pad import PadCollate as PadCollate
from .partial import PartialCollate as PartialCollate
from .ragged import RaggedCollate as RaggedCollate
from .stack import StackCollate as StackCollate
