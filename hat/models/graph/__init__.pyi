from .cost import GraphCost as GraphCost
from .cost import NodeCost as NodeCost
from .cost import describe_graph as describe_graph
from .draw import draw_graph as draw_graph
from .migrate import Migration as Migration
from .migrate import migrate_weights as migrate_weights
