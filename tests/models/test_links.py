"""Parts that do not fit are refused when they are linked."""

import pytest
from torch import nn

from hat.models.links import check_links


class Part(nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


BACKBONE = Part(out_channels=(8, 16, 32))


def test_parts_that_fit_are_accepted():
    check_links(
        backbone=BACKBONE,
        neck=Part(in_channels=(16, 32), out_channels=(24, 24)),
        head=Part(in_channels=24, num_classes=3),
        task=Part(num_classes=3),
    )


def test_parts_that_say_nothing_are_accepted():
    check_links(backbone=Part(), neck=Part(), head=Part(), task=Part())


def test_a_neck_takes_the_last_features():
    with pytest.raises(ValueError, match=r"neck.in_channels is \[8, 16\].*\[8, 16, 32\] channels"):
        check_links(backbone=BACKBONE, neck=Part(in_channels=[8, 16]), head=Part())


def test_a_neck_takes_no_more_features_than_there_are():
    with pytest.raises(ValueError, match=r"neck\.in_channels"):
        check_links(backbone=BACKBONE, neck=Part(in_channels=(4, 8, 16, 32)), head=Part())


def test_a_head_without_index_takes_every_feature():
    with pytest.raises(ValueError, match=r"head\.in_channels is 32, but Part gives 8, 16, 32"):
        check_links(backbone=BACKBONE, head=Part(in_channels=32))


def test_a_head_with_an_index_takes_one_feature():
    check_links(backbone=BACKBONE, head=Part(in_channels=16, in_index=1))


def test_a_head_of_another_feature_is_refused():
    with pytest.raises(ValueError, match="set in_channels=32"):
        check_links(backbone=BACKBONE, head=Part(in_channels=16, in_index=-1))


def test_a_head_may_take_several_features():
    with pytest.raises(ValueError, match=r"head.in_channels is \[8, 32\]"):
        check_links(backbone=BACKBONE, head=Part(in_channels=(8, 32)))


def test_a_head_is_called_by_its_place():
    with pytest.raises(ValueError, match=r"^aux_heads\[1\].in_channels"):
        check_links(backbone=BACKBONE, head=Part(in_channels=1), head_name="aux_heads[1]")


def test_other_classes_in_the_task_are_refused():
    with pytest.raises(ValueError, match=r"head\.num_classes is 3, task\.num_classes 4"):
        check_links(backbone=Part(), head=Part(num_classes=3), task=Part(num_classes=4))
