"""Pictures of any shape become one shape, or one that a network's stride divides."""

from collections.abc import Sequence
from typing import Any

from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hat.data.transforms.canvas import as_height_width, canvas_size, fill_for


class Letterbox(v2.Transform):
    """Scales a picture to fit into a size, keeping its proportions, and fills the rest.

    Boxes, masks, key points and camera matrices go with it. What is filled is not
    labelled: 255 in `gt_seg`, False in `gt_masks`, 0 in `gt_depth`.

    Args:
        size: (H, W) of the result, or one number for a square.
        fill: Value of the pixels around the picture.
        upscale: Whether smaller pictures are enlarged; else they are only padded.
        centre: Put the picture in the middle; else at the top left.

    Raises:
        ValueError: If the size is below 1.

    Example:
        >>> Letterbox(8)(torch.zeros(3, 10, 20, dtype=torch.uint8)).shape
        torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        fill: float = 114,
        *,
        upscale: bool = True,
        centre: bool = True,
    ) -> None:
        super().__init__()
        self.size = as_height_width(size)
        self.fill = fill
        self.upscale = upscale
        self.centre = centre

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = canvas_size(flat_inputs)
        scale = min(self.size[0] / height, self.size[1] / width)
        if not self.upscale:
            scale = min(scale, 1.0)
        inner = [max(1, round(height * scale)), max(1, round(width * scale))]
        space_y, space_x = self.size[0] - inner[0], self.size[1] - inner[1]
        top, left = (space_y // 2, space_x // 2) if self.centre else (0, 0)
        return {"size": inner, "padding": [left, top, space_x - left, space_y - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        scaled = F.resize(inpt, params["size"])
        if not any(params["padding"]):
            return scaled
        return F.pad(scaled, params["padding"], fill=fill_for(inpt, self.fill))


class PadToMultiple(v2.Transform):
    """Pads a picture at the right and bottom until a number divides its sides.

    Boxes and key points stay where they are. What is filled is not labelled: 255 in
    `gt_seg`, False in `gt_masks`, 0 in `gt_depth`.

    Args:
        divisor: What must divide height and width, such as the largest stride of a network.
        fill: Value of the new pixels.

    Raises:
        ValueError: If the divisor is below 1.

    Example:
        >>> PadToMultiple(32)(torch.zeros(3, 33, 64)).shape
        torch.Size([3, 64, 64])
    """

    def __init__(self, divisor: int, fill: float = 114) -> None:
        super().__init__()
        if divisor < 1:
            raise ValueError(f"divisor must be at least 1, got {divisor}")
        self.divisor = divisor
        self.fill = fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = canvas_size(flat_inputs)
        return {"padding": [0, 0, -width % self.divisor, -height % self.divisor]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not any(params["padding"]):
            return inpt
        return F.pad(inpt, params["padding"], fill=fill_for(inpt, self.fill))
