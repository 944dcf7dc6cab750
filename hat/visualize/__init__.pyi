from .grid import picture_grid as picture_grid
from .grid import write_png as write_png
from .overlay import draw_sample as draw_sample
