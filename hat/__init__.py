"""HAT trains, verifies and ships vision models on PyTorch.

Importing this package touches no device, no disk and no network, and does not
import torch. What stands in a config is found in `hat.data`, `hat.models`,
`hat.callbacks`, `hat.engine` and `hat.metrics`.
"""

__version__ = "0.1.0"
