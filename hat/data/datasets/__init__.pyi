from .digits import DigitsDataset as DigitsDataset
from .image_files import ImageFiles as ImageFiles
from .image_folder import ImageFolder as ImageFolder
from .torchvision_dataset import TorchvisionDataset as TorchvisionDataset
from .packed import PackedDataset as PackedDataset
