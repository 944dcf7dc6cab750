"""A small model of four tasks on drawn numbers, and the same network written by hand."""

import torch
from torch import nn

from hat.models import (
    FPN,
    ClassificationTask,
    ConvNet,
    DepthHead,
    DepthTask,
    FcnHead,
    GraphModel,
    LinearHead,
    SegmentationTask,
    YoloxHead,
    YoloxTask,
)

TASKS = ("det", "seg", "depth", "scene")
NUM_CLASSES = 3
SIZE = (32, 48)
EDGES = dict(
    backbone="img",
    neck="backbone",
    det_head="neck",
    seg_head="neck",
    depth_head="neck",
    scene_head="backbone[-1]",
)
OUTPUTS = dict(det="det_head", seg="seg_head", depth="depth_head", scene="scene_head")
#: What each task runs, and no more.
NODES_OF = dict(
    det=("backbone", "neck", "det_head"),
    seg=("backbone", "neck", "seg_head"),
    depth=("backbone", "neck", "depth_head"),
    scene=("backbone", "scene_head"),
)


def topology(nodes, img):
    """The same as `EDGES` and `OUTPUTS`."""
    features = nodes.backbone(img)
    levels = nodes.neck(features)
    return dict(
        det=nodes.det_head(levels),
        seg=nodes.seg_head(levels),
        depth=nodes.depth_head(levels),
        scene=nodes.scene_head(features[-1]),
    )


def topology_with_aux(nodes, img):
    """The same, where `seg` has an auxiliary output."""
    outputs = topology(nodes, img)
    scores = nodes.aux_head(nodes.backbone(img))
    return outputs | dict(seg={"seg": outputs["seg"], "aux": (scores,)})


def make_nodes(seed=0):
    torch.manual_seed(seed)
    return dict(
        backbone=ConvNet([8, 12, 16], depth=1),
        neck=FPN([12, 16], 8),
        det_head=YoloxHead([8, 8], NUM_CLASSES, channels=8, num_convs=1),
        seg_head=FcnHead(8, NUM_CLASSES, 8, in_index=0),
        depth_head=DepthHead(8),
        scene_head=LinearHead(16, 4),
    )


def make_tasks():
    return dict(
        det=YoloxTask(NUM_CLASSES, [4, 8]),
        seg=SegmentationTask(NUM_CLASSES),
        depth=DepthTask(),
        scene=ClassificationTask(4),
    )


def make_model(form="function", seed=0, **kwargs):
    nodes, tasks = make_nodes(seed), make_tasks()
    if form == "mapping":
        return GraphModel(nodes, EDGES, tasks, outputs=OUTPUTS, **kwargs)
    if form == "aux":
        nodes["aux_head"] = FcnHead(16, NUM_CLASSES, 8)
        return GraphModel(nodes, topology_with_aux, tasks, **kwargs)
    return GraphModel(nodes, topology, tasks, **kwargs)


class ByHand(nn.Module):
    """One task's network, from the nodes themselves."""

    def __init__(self, nodes, task):
        super().__init__()
        self.nodes = nn.ModuleDict({name: nodes[name] for name in NODES_OF[task]})
        self.task = task

    def forward(self, img):
        features = self.nodes["backbone"](img)
        if self.task == "scene":
            return self.nodes["scene_head"](features[-1])
        return self.nodes[f"{self.task}_head"](self.nodes["neck"](features))


def make_samples(count=4, seed=3):
    """Samples with all labels; boxes (M, 4), one of them without any."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for number in range(count):
        corners = torch.rand(number % 3, 2, 2, generator=generator) * torch.tensor([40.0, 24.0])
        boxes = torch.cat([corners.amin(1), corners.amax(1) + 6], dim=1)
        samples.append(
            {
                "img": torch.randn(3, *SIZE, generator=generator),
                "gt_bboxes": boxes,
                "gt_classes": torch.arange(len(boxes)) % NUM_CLASSES,
                "gt_seg": torch.randint(0, NUM_CLASSES, SIZE, generator=generator),
                "gt_depth": torch.rand(SIZE, generator=generator) * 40 + 1,
                "label": number % 4,
            }
        )
    return samples


KEYS_OF = dict(
    det=("gt_bboxes", "gt_classes"), seg=("gt_seg",), depth=("gt_depth",), scene=("label",)
)


def make_batch(samples, **rows_of):
    """A batch in which a task is labelled in some rows: `seg=[0, 2]`; by default in all."""
    batch = {"img": torch.stack([sample["img"] for sample in samples])}
    labelled = {}
    for task, keys in KEYS_OF.items():
        rows = list(rows_of.get(task, range(len(samples))))
        for key in keys if rows else ():
            values = [samples[row][key] for row in rows]
            if key == "label":
                batch[key] = torch.tensor(values)
            else:
                batch[key] = values if task == "det" else torch.stack(values)
            if len(rows) < len(samples):
                labelled[key] = torch.tensor(rows)
    return batch | ({"labelled": labelled} if labelled else {})


def freeze_norms(model):
    """Training in which a picture's features do not depend on what else is in its batch."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model
