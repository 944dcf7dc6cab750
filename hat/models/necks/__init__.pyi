from .fpn import FPN as FPN
