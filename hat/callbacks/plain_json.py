"""Values as JSON has them: it has neither NaN nor infinity."""

import math
from typing import Any


def json_values(value: Any) -> Any:
    """The same value with every number that is not finite as a text: `nan`, `inf`."""
    if isinstance(value, dict):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_values(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
