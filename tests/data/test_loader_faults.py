"""A worker that raises, dies or hangs ends the run, with the name of the sample it worked on."""

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import time

import pytest
import torch

from hat.data import DataLoader, SampleError, ShuffledSampler
from hat.data.loaders.workers import _on_child

BAD = 5


class Faulty:
    """Ten samples, one of which does what it is told."""

    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == BAD:
            self.fault()
        return {"x": torch.tensor(index)}

    def source(self, index):
        return f"pictures/{index}.jpg"


class PickyError(Exception):
    """No pickle can make it again from its message."""

    def __init__(self, place, reason):
        super().__init__(f"{reason} at {place}")


def raises(error):
    def fault():
        raise error

    return fault


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_later():
    time.sleep(0.7)
    kill()


def hang():
    time.sleep(1000)


def read_nothing():
    ctypes.string_at(0)


def loader_of(fault, **kwargs):
    return DataLoader(Faulty(fault), **{"batch_size": 2, "num_workers": 2, **kwargs})


def error_of(steps):
    with pytest.raises(SampleError) as caught:
        list(steps)
    return caught.value


@pytest.fixture
def new_children():
    before = {child.pid for child in multiprocessing.active_children()}
    return lambda: [c for c in multiprocessing.active_children() if c.pid not in before]


PLACE = r"sample 5 \(pictures/5\.jpg\) \(epoch 3, position 5, worker 0\)"


# Workers that raise


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("broken"), "ValueError: broken"),
        (MemoryError(), "MemoryError: "),
        (PickyError("byte 7", "cut short"), "PickyError: cut short at byte 7"),
        (KeyError("label"), "KeyError: 'label'"),
        (StopIteration(), "StopIteration: "),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (SystemExit(0), "SystemExit: 0"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_a_sample_raises_in_a_worker_is_told(error, text):
    steps = loader_of(raises(error)).steps(epoch=3)
    with pytest.raises(SampleError, match=f"^{PLACE}: {text}$"):
        list(steps)


def test_sys_exit_in_a_worker_is_told():
    with pytest.raises(SampleError, match=f"{PLACE}: SystemExit: 3"):
        list(loader_of(lambda: sys.exit(3)).steps(epoch=3))


def test_the_cause_of_an_error_in_a_worker_keeps_its_type():
    error = error_of(loader_of(raises(FileNotFoundError(2, "none", "a.jpg"))))
    assert type(error.__cause__) is FileNotFoundError
    assert error.__cause__.filename == "a.jpg"


def test_the_cause_says_where_in_the_worker_it_was_raised():
    error = error_of(loader_of(raises(ValueError("broken"))))
    assert "in __getitem__" in "".join(error.__cause__.__notes__)


def test_an_error_that_no_pickle_can_hold_keeps_its_text():
    error = error_of(loader_of(raises(PickyError("byte 7", "cut short"))))
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(PickyError("byte 7", "cut short")))
    assert "PickyError: cut short at byte 7" in "".join(error.__cause__.__notes__)


def fails(samples):
    raise ZeroDivisionError("nothing to share")


@pytest.mark.parametrize(("num_workers", "worker"), [(0, ""), (1, ", worker 0")])
def test_a_collate_that_fails_names_its_samples(num_workers, worker):
    loader = loader_of(lambda: None, collate=fails, num_workers=num_workers)
    assert str(error_of(loader.steps(epoch=3, start=2))) == (
        "collate fails failed on samples 4 (pictures/4.jpg), 5 (pictures/5.jpg) "
        f"(epoch 3, positions 4 to 5{worker}): ZeroDivisionError: nothing to share"
    )


def test_ctrl_c_in_this_process_stays_what_it_is():
    with pytest.raises(KeyboardInterrupt):
        list(loader_of(raises(KeyboardInterrupt()), num_workers=0))


# Workers that die


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (kill, "was killed by SIGKILL, maybe for lack of memory"),
        (read_nothing, "was killed by SIGSEGV"),
        (os.abort, "was killed by SIGABRT"),
        (lambda: os._exit(7), "exited with status 7"),
        (lambda: os._exit(0), "exited with status 0"),
    ],
    ids=["killed", "segmentation fault", "aborted", "exit 7", "exit 0"],
)
def test_a_worker_that_dies_is_told_with_its_sample(fault, end):
    steps = loader_of(fault).steps(epoch=3)
    with pytest.raises(SampleError, match=rf"worker 0 \(pid \d+\) {end}: it was making {PLACE}"):
        list(steps)


def test_the_sample_is_that_of_the_worker_that_died_and_not_the_one_waited_for():
    loader = loader_of(kill, batch_size=1, sampler=ShuffledSampler(), prefetch_factor=10)
    position = [loader.key(0, place).sample for place in range(10)].index(BAD)
    with pytest.raises(SampleError, match=rf"sample 5 .* position {position}, worker"):
        list(loader)


def test_a_worker_that_dies_while_it_packs_is_told_with_its_batch():
    loader = loader_of(lambda: None, collate=lambda samples: kill(), num_workers=1)
    expected = r"packing the batch that begins with sample 0 .*\(epoch 0, position 0, worker 0\)"
    with pytest.raises(SampleError, match=expected):
        list(loader)


def test_a_worker_that_is_killed_between_batches_is_told(new_children):
    steps = loader_of(lambda: None, num_workers=1, batch_size=1).steps(epoch=0)
    next(steps)
    time.sleep(0.5)  # until it has made all it may make ahead
    (worker,) = new_children()
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(SampleError, match=r"worker 0 .* was killed by SIGKILL.* between batches"):
        list(steps)


def test_a_death_does_not_interrupt_what_the_main_process_does_meanwhile():
    loader = loader_of(kill_later, batch_size=1, num_workers=1, prefetch_factor=6)
    steps = loader.steps(epoch=0)
    next(steps)
    time.sleep(1.5)  # the worker is gone by now, and the signal has come
    with pytest.raises(SampleError, match="SIGKILL"):
        list(steps)


def test_after_a_death_no_worker_is_left(new_children):
    error_of(loader_of(kill))
    assert new_children() == []


def test_after_a_death_the_loader_can_be_used_again():
    loader = loader_of(kill)
    error_of(loader)
    assert [batch["x"].tolist() for batch in loader.steps(epoch=0, start=3)] == [[6, 7], [8, 9]]


def test_a_worker_of_another_loader_is_still_told_as_torch_does():
    def of_torch(number, frame):
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    with pytest.raises(RuntimeError, match="pid 1"):
        _on_child(of_torch, signal.SIGCHLD, None)


# Workers that hang


def test_a_worker_that_hangs_is_told_with_its_sample():
    loader = loader_of(hang, timeout_s=1.0)
    expected = rf"no batch for \d\.\d s \(timeout_s=1\): it was making {PLACE} for \d\.\d s"
    with pytest.raises(SampleError, match=expected):
        list(loader.steps(epoch=3))


def test_a_worker_that_hangs_and_hears_no_signal_is_ended(new_children):
    def hang_deaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hang()

    error_of(loader_of(hang_deaf, timeout_s=0.5))
    assert new_children() == []


def test_after_a_hang_the_loader_can_be_used_again():
    loader = loader_of(hang, timeout_s=1.0)
    error_of(loader)
    assert [batch["x"].tolist() for batch in loader.steps(epoch=0, start=3)] == [[6, 7], [8, 9]]


@pytest.mark.filterwarnings("ignore")
def test_a_batch_that_cannot_be_sent_is_told(capfd):
    loader = loader_of(lambda: None, collate=lambda samples: lambda: None, timeout_s=1.0)
    with pytest.raises(SampleError, match="hold what cannot be sent to another process"):
        list(loader)


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_loader_without_a_bound_is_refused(timeout_s):
    with pytest.raises(ValueError, match="timeout_s must be above 0"):
        loader_of(hang, timeout_s=timeout_s)


# How workers run


class Settings:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        import cv2

        return {"x": [torch.get_num_threads(), cv2.getNumThreads(), gc.get_freeze_count() > 0]}


def test_libraries_have_one_thread_in_a_worker():
    (batch,) = DataLoader(Settings(), batch_size=1, num_workers=1)
    assert batch["x"][0][:2] == [1, 1]


def test_what_the_parent_made_is_kept_from_the_garbage_collector():
    (batch,) = DataLoader(Settings(), batch_size=1, num_workers=1)
    assert batch["x"][0][2]
