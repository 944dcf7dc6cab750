"""Two tasks on one small backbone."""

num_classes = 3

model = dict(
    type="GraphModel",
    nodes=dict(
        backbone=dict(type="ConvNet", channels=[8, 16], depth=1),
        seg_head=dict(type="FcnHead", in_channels=16, num_classes=num_classes),
        scene_head=dict(type="LinearHead", in_channels=16, num_classes=4),
    ),
    topology=dict(backbone="img", seg_head="backbone", scene_head="backbone[-1]"),
    outputs=dict(seg="seg_head", scene="scene_head"),
    tasks=dict(
        seg=dict(type="SegmentationTask", num_classes=num_classes),
        scene=dict(type="ClassificationTask", num_classes=4),
    ),
)
parts = dict(teacher=model | dict(topology=dict(model["topology"], scene_head="backbone[1]")))
float_trainer = dict(type="Trainer", model=model)
