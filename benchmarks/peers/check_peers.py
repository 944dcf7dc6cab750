"""What Lightning and MMEngine do with many tasks, found out by running them.

    pip install lightning torchdata mmengine     # this program needs them, HAT does not
    python benchmarks/peers/check_peers.py

With the programs beside this one, on tiny pictures: whether a task that one process has no labels
for needs `find_unused_parameters`, whether the weights of a task that does not run move, and
whether a run of two loaders that was stopped in the middle of an epoch goes on as if it had not
been. Each question is answered in a process of its own, with a minute's time at most, or three
where runs are resumed. A process that hung may leave one behind that it started.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TINY = ["--scenes", "12", "--val-scenes", "4", "--size", "64", "128"]
HERE = Path(__file__).resolve()


class StoppedError(Exception):
    """The run was cut here on purpose."""


def fingerprint(batches: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Which pictures, whether or not they are flipped; and the pixels of their first column."""
    pairs = [(batch["img"], batch["img"][..., 0]) for batch in batches]
    return [(int(img.long().sum()), int(column.long().sum())) for img, column in pairs]


def touch_all(module: nn.Module) -> Tensor:
    """The usual way to give every parameter a gradient: a loss of nothing."""
    return sum(0 * parameter.sum() for parameter in module.parameters())  # type: ignore[return-value]


def moved(before: dict[str, Tensor], module: nn.Module, used: tuple[str, ...]) -> str:
    others = [name for name in before if not name.startswith(used)]
    now = dict(module.named_parameters())
    changed = [name for name in others if not torch.equal(before[name], now[name])]
    return f"{len(changed)} of {len(others)} parameters that seg does not use moved"


def compare(whole: list[Any], parts: list[Any], stop_at: int) -> str:
    pairs = list(zip(whole, parts, strict=True))[stop_at:]
    same = [sum(a[k][0] == b[k][0] for a, b in pairs) for k in (0, 1)]
    pixels = sum(a == b for a, b in pairs)
    return (
        f"of {len(pairs)} steps left, {same[0]} and {same[1]} have the same pictures of the two "
        f"loaders (next step: {[p for p, _ in pairs[0][0]] == [p for p, _ in pairs[0][1]]}), "
        f"{pixels} the same pixels"
    )


def report_weights(weights: list[dict[str, Tensor]]) -> str:
    first, second = weights
    return f"the same weights at the end: {all(torch.equal(first[n], second[n]) for n in first)}"


def lightning_ddp(find_unused: str) -> None:
    import lightning_multi_task as peer

    from hat.data import PartialLabels

    rank = int(os.environ.get("LOCAL_RANK", "0"))
    args = peer.parse([*TINY, "--epochs", "1", "--processes", "2", "--run-dir", run_dir()])
    sets: list[Any] = [["gt_bboxes"]] if rank else ["all"]
    data = PartialLabels(peer.scenes(12, "train", (64, 128)), sets)
    strategy = f"ddp_find_unused_parameters_{find_unused}"
    trainer = peer.make_trainer(args, strategy=strategy, use_distributed_sampler=False)
    trainer.fit(
        peer.RoadModule(peer.TASKS, lr=3e-3, num_steps=12), peer.make_loader(data, 4, seed=0)
    )
    print(f"answer: {trainer.global_step} steps done")


def mmengine_ddp(find_unused: str) -> None:
    import mmengine_multi_task as peer
    from mmengine.model import MMDistributedDataParallel

    from hat.data import PartialLabels

    # MMEngine's own start of processes, and its own wrapping of the model, ask for a GPU.
    torch.distributed.init_process_group("gloo")
    args = peer.parse([*TINY, "--steps", "3", "--launcher", "pytorch", "--run-dir", run_dir()])
    sets: list[Any] = [["gt_bboxes"]] if torch.distributed.get_rank() else ["all"]
    data = PartialLabels(peer.scenes(12, "train", (64, 128)), sets)
    options: dict[str, Any] = dict(val_cfg=None, val_evaluator=None, val_dataloader=None)
    model = MMDistributedDataParallel(
        module=peer.RoadModel(peer.TASKS), find_unused_parameters=find_unused == "true"
    )
    runner = peer.make_runner(
        args,
        model=model,
        train_dataloader=peer.make_loader(data, 4, seed=0),
        default_hooks=dict(checkpoint=None),
        **options,
    )
    runner.train()
    print(f"answer: {runner.iter} steps done")


def lightning_unused(way: str) -> None:
    import lightning as L
    import lightning_multi_task as peer

    class Module(peer.RoadModule):
        def training_step(self, data: Any, batch_idx: int) -> Any:
            if batch_idx == 3:
                self.active = ("seg",)
                self.before = {n: p.detach().clone() for n, p in self.net.named_parameters()}
            loss = super().training_step(data, batch_idx)
            return loss + touch_all(self.net) if way == "touch" else loss

        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
            optimizer.zero_grad(set_to_none=way != "zeros")

        def on_train_batch_end(self, outputs: Any, data: Any, batch_idx: int) -> None:
            if batch_idx >= 3:  # asked here: at the end of the run the averages take their place
                self.found = moved(self.before, self.net, ("backbone", "neck", "heads.seg"))

    args = peer.parse([*TINY, "--epochs", "1", "--batch-size", "2", "--run-dir", run_dir()])
    module = Module(peer.TASKS, lr=3e-3, num_steps=12)
    peer.make_trainer(args, L.Callback()).fit(module, peer.train_loaders(args))
    print("answer:", module.found)


def mmengine_unused(way: str) -> None:
    import mmengine_multi_task as peer

    class Model(peer.RoadModel):
        num_calls = 0

        def losses(self, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
            if self.num_calls == 3:
                self.active = ("seg",)
                self.before = {n: p.detach().clone() for n, p in self.named_parameters()}
            self.num_calls += 1
            losses = super().losses(batches)
            return losses | {"loss/nothing": touch_all(self)} if way == "touch" else losses

    args = peer.parse([*TINY, "--steps", "6", "--run-dir", run_dir()])
    model = Model(peer.TASKS)
    options: dict[str, Any] = dict(val_cfg=None, val_evaluator=None, val_dataloader=None)
    peer.make_runner(args, model=model, default_hooks=dict(checkpoint=None), **options).train()
    print("answer:", moved(model.before, model, ("backbone", "neck", "heads.seg")))


def lightning_resume(loader: str) -> None:
    import lightning as L
    import lightning_multi_task as peer
    from torch.utils.data import DataLoader

    if loader == "plain":
        peer.StatefulDataLoader = DataLoader

    class Recorder(L.Callback):
        def __init__(self, stop_at: int | None = None) -> None:
            self.seen: list[Any] = []
            self.stop_at = stop_at

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if trainer.global_step == self.stop_at:
                raise StoppedError
            self.seen.append(fingerprint(list(batch.values())))

    def run(folder: str, stop_at: int | None = None, resume: str | None = None) -> Any:
        args = peer.parse([*TINY, "--epochs", "2", "--several", "--run-dir", folder])
        recorder = Recorder(stop_at)
        trainer = peer.make_trainer(args, recorder)  # seeds what the module draws
        module = peer.RoadModule(peer.TASKS, lr=3e-3, num_steps=12)
        with contextlib.suppress(StoppedError):
            trainer.fit(module, peer.train_loaders(args), ckpt_path=resume)
        return recorder.seen, {n: p.detach().clone() for n, p in module.net.named_parameters()}

    whole, weights = run(run_dir())
    for stop_at in (3, 5):  # of 6 steps an epoch; the second loader begins again after 4
        folder = run_dir()
        before, _ = run(folder, stop_at)
        after, resumed = run(folder, resume=f"{folder}/last.ckpt")
        print(f"answer: stopped at step {stop_at}: {compare(whole, before + after, stop_at)},",
              report_weights([weights, resumed]))  # fmt: skip


def mmengine_resume(way: str) -> None:
    import mmengine_multi_task as peer
    from mmengine.hooks import Hook

    class Recorder(Hook):
        priority = "VERY_LOW"

        def __init__(self, stop_at: int | None = None) -> None:
            self.seen: list[Any] = []
            self.stop_at = stop_at

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter == self.stop_at:
                raise StoppedError
            self.seen.append(fingerprint(data_batch))

    def run(folder: str, stop_at: int | None = None, resume: bool = False) -> Any:
        words = [*TINY, "--steps", "12", "--several", "--run-dir", folder]
        recorder = Recorder(stop_at)
        args = peer.parse([*words, "--resume"] if resume else words)
        runner = peer.make_runner(args, recorder, experiment_name=f"run{Path(folder).name}{resume}")
        with contextlib.suppress(StoppedError):
            runner.train()
        model = runner.model
        return recorder.seen, {n: p.detach().clone() for n, p in model.named_parameters()}

    whole, weights = run(run_dir())
    for stop_at in (3, 5):
        folder = run_dir()
        before, _ = run(folder, stop_at)
        after, resumed = run(folder, resume=True)
        print(f"answer: stopped at step {stop_at}: {compare(whole, before + after, stop_at)},",
              report_weights([weights, resumed]))  # fmt: skip


QUESTIONS = {
    "lightning_ddp": (lightning_ddp, ("false", "true")),
    "mmengine_ddp": (mmengine_ddp, ("false", "true")),
    "lightning_unused": (lightning_unused, ("none", "zeros", "touch")),
    "mmengine_unused": (mmengine_unused, ("none", "touch")),
    "lightning_resume": (lightning_resume, ("plain", "stateful")),
    "mmengine_resume": (mmengine_resume, ("as_it_is", "old_torch_load")),
}


def run_dir() -> str:
    return tempfile.mkdtemp(prefix="peers")


def ask(question: str, way: str) -> None:
    command = [sys.executable, str(HERE), question, way]
    if question == "mmengine_ddp":
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        command[1:1] = launch
    environment = dict(os.environ)
    if way == "old_torch_load":
        environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180 if "resume" in question else 60,
            check=False,
        )
        lines = (done.stdout + done.stderr).splitlines()
        found = [line for line in lines if line.startswith("answer:")]
        found = found or [line for line in lines if "Error" in line][:2] or lines[-3:]
    except subprocess.TimeoutExpired as stopped:
        said = (stopped.stdout or b"").decode() + (stopped.stderr or b"").decode()
        errors = [line for line in said.splitlines() if "Error" in line]
        found = ["no end in the time it had", *errors[:2]]
    for line in found:
        print(f"{question:17} {way:15} {line[:300]}", flush=True)


def main() -> None:
    if len(sys.argv) == 3:
        QUESTIONS[sys.argv[1]][0](sys.argv[2])
        return
    for question, (_, ways) in QUESTIONS.items():
        if len(sys.argv) == 1 or question == sys.argv[1]:
            for way in ways:
                ask(question, way)


if __name__ == "__main__":
    main()
