from .aspp import ASPP as ASPP
from .bifpn import BiFPN as BiFPN
from .deconv_decoder import DeconvDecoder as DeconvDecoder
from .fpn import FPN as FPN
from .ladder_decoder import LadderDecoder as LadderDecoder
from .pafpn import PAFPN as PAFPN
from .unet_decoder import UNetDecoder as UNetDecoder
