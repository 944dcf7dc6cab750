"""One small model of every kind, by name, for the tests that go over all of them."""

from collections.abc import Callable

from torch import nn

from hat.models import (
    ASPP,
    FPN,
    PAFPN,
    BiFPN,
    CenterNetHead,
    CenterNetTask,
    ClassificationTask,
    Classifier,
    ConvNet,
    DeepLabV3PlusHead,
    DepthHead,
    DepthTask,
    EncoderDecoder,
    FcnHead,
    FcosHead,
    FcosTask,
    GraphModel,
    KeypointHead,
    KeypointTask,
    LinearHead,
    OneStageDetector,
    RegionProposalNetwork,
    RetinaNetHead,
    RetinaNetTask,
    RoIHeads,
    SegmentationTask,
    Segmentor,
    TwoStageDetector,
    UNetDecoder,
    YoloxHead,
    YoloxTask,
)

NUM_CLASSES = 3


def backbone() -> nn.Module:
    """Features of strides 2, 4 and 8."""
    return ConvNet([8, 12, 16], depth=1)


def fcos() -> nn.Module:
    head = FcosHead(8, NUM_CLASSES, num_convs=1)
    return OneStageDetector(backbone(), head, FcosTask(NUM_CLASSES, [4, 8]), FPN([12, 16], 8))


def retinanet() -> nn.Module:
    neck = BiFPN([12, 16], 8, num_layers=1, num_extra=0)
    head = RetinaNetHead(8, NUM_CLASSES, num_convs=1)
    return OneStageDetector(backbone(), head, RetinaNetTask(NUM_CLASSES, [4, 8]), neck)


def yolox() -> nn.Module:
    head = YoloxHead([8, 8], NUM_CLASSES, channels=8, num_convs=1)
    return OneStageDetector(backbone(), head, YoloxTask(NUM_CLASSES, [4, 8]), PAFPN([12, 16], 8))


def centernet() -> nn.Module:
    neck = UNetDecoder([12, 16], [8])
    return OneStageDetector(
        backbone(), CenterNetHead(8, NUM_CLASSES), CenterNetTask(NUM_CLASSES, stride=4), neck
    )


def faster_rcnn(with_masks: bool = False) -> nn.Module:
    return TwoStageDetector(
        backbone(),
        FPN([12, 16], 8),
        RegionProposalNetwork(8, strides=[4, 8], anchor_sizes=[16, 32], num_proposals=(50, 50)),
        RoIHeads(
            8,
            NUM_CLASSES,
            strides=[4, 8],
            hidden_channels=16,
            num_samples=32,
            with_masks=with_masks,
            mask_channels=8,
        ),
    )


def mask_rcnn() -> nn.Module:
    return faster_rcnn(with_masks=True)


def fcn() -> nn.Module:
    aux_heads = [FcnHead(12, NUM_CLASSES, 8, in_index=-2)]
    task = SegmentationTask(NUM_CLASSES)
    return Segmentor(backbone(), FcnHead(16, NUM_CLASSES, 8), task, aux_heads=aux_heads)


def aspp() -> nn.Module:
    neck = ASPP([16], 8, rates=[1, 2])
    return Segmentor(backbone(), FcnHead(8, NUM_CLASSES), SegmentationTask(NUM_CLASSES), neck)


def deeplabv3plus() -> nn.Module:
    head = DeepLabV3PlusHead([12, 16], NUM_CLASSES, 8, rates=[1, 2], low_channels=4)
    return Segmentor(backbone(), head, SegmentationTask(NUM_CLASSES))


def unet() -> nn.Module:
    neck = UNetDecoder([8, 12, 16], [8, 12])
    head = FcnHead(8, NUM_CLASSES, in_index=0)
    return Segmentor(backbone(), head, SegmentationTask(NUM_CLASSES), neck)


def depth() -> nn.Module:
    return EncoderDecoder(backbone(), UNetDecoder([12, 16], [8]), DepthHead(8), DepthTask())


def keypoints() -> nn.Module:
    decoder = UNetDecoder([12, 16], [8])
    return EncoderDecoder(backbone(), decoder, KeypointHead(8, 2), KeypointTask(2, stride=4))


def classifier() -> nn.Module:
    return Classifier(backbone(), LinearHead(16, NUM_CLASSES))


def graph() -> nn.Module:
    """Boxes, pixels, depth and a class of the picture."""
    return GraphModel(
        nodes=dict(
            backbone=backbone(),
            neck=FPN([12, 16], 8),
            det_head=YoloxHead([8, 8], NUM_CLASSES, channels=8, num_convs=1),
            seg_head=FcnHead(8, NUM_CLASSES, in_index=-1),
            depth_head=DepthHead(8),
            scene_head=LinearHead(16, NUM_CLASSES),
        ),
        topology=dict(
            backbone="img",
            neck="backbone",
            det_head="neck",
            seg_head="neck",
            depth_head="neck",
            scene_head="backbone[-1]",
        ),
        outputs=dict(det="det_head", seg="seg_head", depth="depth_head", scene="scene_head"),
        tasks=dict(
            det=YoloxTask(NUM_CLASSES, [4, 8]),
            seg=SegmentationTask(NUM_CLASSES),
            depth=DepthTask(),
            scene=ClassificationTask(NUM_CLASSES),
        ),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    make.__name__: make
    for make in (
        fcos, retinanet, yolox, centernet, faster_rcnn, mask_rcnn, fcn, aspp, deeplabv3plus,
        unet, depth, keypoints, classifier, graph,
    )
}  # fmt: skip
