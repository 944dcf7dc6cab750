"""Colours that can be told apart."""

import colorsys

Color = tuple[int, int, int]

_GOLDEN_RATIO = 0.618033988749895  # steps of it spread hues evenly, however many there are


def distinct_colors(num_colors: int) -> list[Color]:
    """RGB colours, 0..255, that differ in hue, and neighbours in brightness too.

    Example:
        >>> distinct_colors(2)
        [(255, 51, 51), (87, 125, 217)]
    """
    colors = []
    for n in range(num_colors):
        value = (1.0, 0.85, 0.7)[n % 3]
        saturation = (0.8, 0.6)[n % 2]
        rgb = colorsys.hsv_to_rgb(n * _GOLDEN_RATIO % 1, saturation, value)
        colors.append((round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2])))
    return colors
