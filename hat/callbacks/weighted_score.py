"""One number for a model of many tasks."""

import math
from collections.abc import Mapping
from typing import Any

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.engine.scores import Score, Scores


class WeightedScore(Callback):
    """Writes the weighted sum of scores, whenever all of them were written at the same step.

    The larger the sum, the better: a score of which less is better, such as an error, needs a
    weight below 0. List it between what writes the scores, such as `Validation`, and what reads
    the sum, such as `Checkpoint(best="val/sum")`.

    Args:
        weights: Factors by the names of scores: `{"val/det/AP": 1, "val/depth/abs_rel": -1}`.
        name: What the sum is called.

    Raises:
        ValueError: If there are no weights, or one is 0; while training, if a weight is above 0
            and its score better low, or below 0 and better high.
    """

    def __init__(self, weights: Mapping[str, float], name: str = "val/sum") -> None:
        if not weights or not all(weights.values()):
            raise ValueError(f"weights must be other than 0, and at least one, got {weights}")
        if name in weights:
            raise ValueError(f"the sum cannot be one of what it sums: '{name}'")
        self.weights = dict(weights)
        self.name = name

    def reads(self) -> list[str]:
        return list(self.weights)

    def writes(self) -> list[str]:
        return [self.name]

    def on_step_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def on_loop_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def _look(self, progress: Progress, scores: Scores) -> None:
        step = progress.num_steps_done
        if any(n not in scores or scores.last(n).step != step for n in self.weights):
            return
        for name, weight in self.weights.items():
            higher = scores.higher_is_better(name)
            if higher is not None and higher != (weight > 0):
                raise ValueError(
                    f"WeightedScore: '{name}' is better {'high' if higher else 'low'}, but its "
                    f"weight is {weight}, and more of '{self.name}' is better: change its sign"
                )
        total = sum(weight * scores.last(name).value for name, weight in self.weights.items())
        if not self._is_written(Score(total, step), scores):
            scores.write(self.name, total, step, higher_is_better=True)

    def _is_written(self, score: Score, scores: Scores) -> bool:
        """Whether an earlier hook of this step wrote the same, so that logs have it once."""
        if self.name not in scores:
            return False
        last = scores.last(self.name)
        both_nan = math.isnan(last.value) and math.isnan(score.value)
        return last.step == score.step and (last.value == score.value or both_nan)
