"""How `RoadScenes` draws: a layout from a key, faces through a camera, colours by light.

`layout` says what stands where, `shapes` what it looks like, `drawing` which face each
pixel shows, `shading` its colour and `labels` its ground truth.
"""
