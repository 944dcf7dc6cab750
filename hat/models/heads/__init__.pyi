from .deeplabv3plus_head import DeepLabV3PlusHead as DeepLabV3PlusHead
from .fcn_head import FcnHead as FcnHead
from .fcos_head import FcosHead as FcosHead
from .linear_head import LinearHead as LinearHead
from .region_proposal_network import RegionProposalNetwork as RegionProposalNetwork
from .retinanet_head import RetinaNetHead as RetinaNetHead
from .roi_heads import RoIHeads as RoIHeads
from .yolox_head import YoloxHead as YoloxHead
