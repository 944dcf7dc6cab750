from .stack import StackCollate as StackCollate
