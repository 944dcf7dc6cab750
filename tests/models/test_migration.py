"""Weights of a model with other heads: what is kept, new, dropped, reshaped."""

import logging

import pytest
import safetensors.torch
import torch
from graph_cases import TASKS, make_model, make_nodes, make_tasks
from torch import nn

from hat.models import FcnHead, GraphModel, LinearHead, Migration, migrate_weights
from hat.store import write_checkpoint


@pytest.fixture
def trained():
    """Four tasks with weights that no fresh model has."""
    model = make_model(seed=7)
    for buffer in model.buffers():
        buffer.copy_(torch.rand(buffer.shape).to(buffer.dtype))
    return model


@pytest.fixture
def path(trained, tmp_path):
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


def with_speed_head(nodes, img):
    """Without depth, with another head."""
    features = nodes.backbone(img)
    levels = nodes.neck(features)
    return dict(
        det=nodes.det_head(levels),
        seg=nodes.seg_head(levels),
        scene=nodes.scene_head(features[-1]),
        speed=nodes.speed_head(features[-1]),
    )


def changed_model(**kwargs):
    nodes = make_nodes() | dict(scene_head=LinearHead(16, 9), speed_head=LinearHead(16, 1))
    del nodes["depth_head"]
    tasks = {name: task for name, task in make_tasks().items() if name in ("det", "seg")}
    return GraphModel(nodes, with_speed_head, tasks, **kwargs)


def names_of(model, *nodes):
    return tuple(name for name in model.state_dict() if name.split(".")[0] in nodes)


def test_what_fits_is_kept_bit_for_bit(path, trained):
    model = changed_model()
    report = migrate_weights(model, path)
    shared = names_of(model, "backbone", "neck", "det_head", "seg_head")
    assert report.kept == shared
    found, expected = model.state_dict(), trained.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in shared)


def test_what_does_not_fit_is_as_it_was(path):
    model = changed_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = migrate_weights(model, path)
    left = [*report.new, *report.reshaped]
    assert set(left) == set(names_of(model, "scene_head", "speed_head"))
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in left)


def test_everything_is_reported(path):
    model = changed_model()
    report = migrate_weights(model, path)
    assert report.new == ("speed_head.fc.weight", "speed_head.fc.bias")
    assert set(report.dropped) == {"depth_head.conv.weight", "depth_head.conv.bias"}
    assert report.reshaped == {
        "scene_head.fc.weight": ((4, 16), (9, 16)),
        "scene_head.fc.bias": ((4,), (9,)),
    }


def test_the_report_is_grouped_by_node(path):
    counts = migrate_weights(changed_model(), path).by_node()
    assert counts["scene_head"] == dict(kept=0, new=0, dropped=0, reshaped=2)
    assert counts["depth_head"] == dict(kept=0, new=0, dropped=2, reshaped=0)
    assert counts["speed_head"] == dict(kept=0, new=2, dropped=0, reshaped=0)
    assert counts["backbone"]["new"] == 0 < counts["backbone"]["kept"]


def test_modules_of_tasks_are_apart_from_each_other():
    names = ("tasks.det.scale", "tasks.seg.scale", "tasks.seg.terms.ce.weight", "balance.det")
    counts = Migration(names, (), (), {}).by_node()
    assert {name: row["kept"] for name, row in counts.items()} == {
        "tasks.det": 1,
        "tasks.seg": 2,
        "balance": 1,
    }


def test_the_report_is_a_table_with_shapes_below():
    report = Migration(("a.w", "a.b"), ("long_name.w",), (), {"c.w": ((1, 2), (3, 4))})
    assert str(report).splitlines() == [
        "node       kept  new  dropped  reshaped",
        "a             2    0        0         0",
        "long_name     0    1        0         0",
        "c             0    0        0         1",
        "c.w: (1, 2) in the file, (3, 4) in the model",
    ]


def test_the_same_model_is_kept_whole(path, trained):
    model = make_model()
    report = migrate_weights(model, path)
    assert (report.new, report.dropped, report.reshaped) == ((), (), {})
    torch.testing.assert_close(model.state_dict(), trained.state_dict(), rtol=0, atol=0)


def test_a_checkpoint_is_read(trained, tmp_path):
    state = {"model": trained.state_dict(), "optimizer": {}}
    folder = write_checkpoint(tmp_path, "step_1", state, {"step": 1})
    assert len(migrate_weights(changed_model(), folder).kept) > 10


def test_a_model_migrates_when_it_is_built_and_logs_it(path, trained, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hat"), "propagate", True)
    with caplog.at_level(logging.INFO):
        model = changed_model(migrate_from=str(path))
    assert torch.equal(model.seg_head.classifier.weight, trained.seg_head.classifier.weight)
    assert "speed_head     0    2        0         0" in caplog.text


def test_a_smaller_model_is_the_trained_one_in_part(path, trained):
    smaller = make_model().without(["det", "depth"])
    report = migrate_weights(smaller, path)
    assert report.new == ()
    assert report.reshaped == {}
    img = torch.randn(2, 3, 32, 32)
    found = smaller.eval().network(img)
    expected = trained.eval().network(img)
    torch.testing.assert_close(found, {name: expected[name] for name in found}, rtol=0, atol=0)
    assert set(found) == set(TASKS) - {"det", "depth"}


def test_a_file_of_which_nothing_fits_is_refused(tmp_path):
    file = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"net.0.weight": torch.zeros(2)}, file)
    model = make_model()
    with pytest.raises(ValueError, match=r"nothing in it fits GraphModel: the file has net\.0"):
        migrate_weights(model, file)


def test_a_file_of_which_only_names_fit_is_refused(tmp_path):
    file = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(7, 7)}, file)
    with pytest.raises(ValueError, match="nothing in it fits Linear"):
        migrate_weights(nn.Linear(2, 2), file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        migrate_weights(make_model(), tmp_path / "nothing_here")


def test_a_head_of_another_kind_is_reported_by_its_names(path):
    nodes = make_nodes() | dict(scene_head=nn.Sequential(LinearHead(16, 4)))
    model = make_model()
    model.scene_head = nodes["scene_head"]
    model.seg_head = FcnHead(8, 5, 8, in_index=0)
    report = migrate_weights(model, path)
    assert report.by_node()["scene_head"] == dict(kept=0, new=2, dropped=2, reshaped=0)
    assert report.by_node()["seg_head"]["reshaped"] == 2
