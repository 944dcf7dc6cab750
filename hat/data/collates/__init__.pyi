from .lidar import LidarCollate as LidarCollate
from .pad import PadCollate as PadCollate
from .ragged import RaggedCollate as RaggedCollate
from .stack import StackCollate as StackCollate
