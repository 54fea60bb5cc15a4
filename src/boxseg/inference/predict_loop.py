"""Lightning's predict loop in several processes, each with its own share of the work."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from time import monotonic
from types import FrameType
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from boxseg.errors import BoxsegError
from boxseg.progress import reported_to
from boxseg.training.processes import GRACE, SpawnedStrategy, processes_of, quiet_lightning


class Share(L.LightningModule):
    """What each process does: its share, the one batch of its loop, for a stage has a loop of its own.

    Over its line a process is given (work, tools), then (share, threads). It answers how far it is, and at last
    a tuple of the result of `work(tools, share)`, or the BoxsegError that this raised.

    Args:
        lines: A line for each process. What goes over them could not go with this module: Lightning returns
            nothing of several processes, and starts the next when it has given the last all it is to know.
    """

    def __init__(self, lines: Sequence[Connection]) -> None:
        super().__init__()
        self.lines = lines

    def predict_dataloader(self) -> DataLoader[Any]:
        """This process's share, as the only batch."""
        self.order = pickle.loads(self._line.recv_bytes())
        share, threads = pickle.loads(self._line.recv_bytes())
        torch.set_num_threads(threads)
        return DataLoader([share], batch_size=None, collate_fn=list)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """A share as it is: photos move to the device when their turn comes."""
        return batch

    def predict_step(self, share: Any) -> None:
        """Do the work and answer."""
        work, tools = self.order
        try:
            with reported_to(self._line.send):
                answer: Any = (work(tools.on(self.device), share),)
        except BoxsegError as error:
            answer = error
        except ConnectionError:
            sys.exit(1)  # the main process is gone
        self._line.send(answer)

    @property
    def _line(self) -> Connection:
        return self.lines[self.global_rank]


class _Apart(SpawnedStrategy):
    """Processes that have nothing to say to each other, so that there is no process group. One may be ended."""

    def __init__(self) -> None:
        super().__init__(unused=False)

    def setup_environment(self) -> None:
        signal.signal(signal.SIGTERM, _end)
        super().setup_environment()

    def setup_distributed(self) -> None:
        self.set_world_ranks()

    def setup(self, trainer: L.Trainer) -> None:
        """Nothing of DDP's, which would send the network around: a share has none."""
        assert self.accelerator is not None
        self.accelerator.setup(trainer)


def _end(number: int, frame: FrameType | None) -> None:
    """Exit in order, so that nothing half written is left behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
    sys.exit(128 + number)


@contextmanager
def predict_loop(lines: Sequence[Connection], devices: Sequence[torch.device]) -> Iterator[Future[Any]]:
    """A process for each device, with its end of a line; none is left when the block ends.

    Args:
        lines: Theirs; closed when the last process has ended, so that at the other ends the lines break.
        devices: All of a kind.

    Yields:
        A future whose exception, if any, tells how a process failed: a ProcessExitedException or
        ProcessRaisedException of torch.multiprocessing. When one fails, the others are ended.
    """
    kind = devices[0].type
    with quiet_lightning(), ThreadPoolExecutor(1, "boxseg-predict") as pool:
        trainer = L.Trainer(
            accelerator=kind,
            devices=len(devices) if kind == "cpu" else [device.index for device in devices],
            strategy=_Apart(),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,  # a stage knows better where
        )
        # In a thread, for Lightning waits for the end and says nothing before.
        running = pool.submit(_predict, trainer, lines)
        try:
            yield running
        finally:
            _end_all(trainer, running)


def _predict(trainer: L.Trainer, lines: Sequence[Connection]) -> None:
    if hasattr(signal, "pthread_sigmask"):
        # What this thread starts is deaf to Ctrl-C from its first moment on; the main thread ends it.
        resource_tracker.ensure_running()  # which would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        trainer.predict(Share(lines), return_predictions=False)
    finally:
        for line in lines:
            line.close()


def _end_all(trainer: L.Trainer, running: Future[Any]) -> None:
    patience = monotonic() + GRACE
    while not running.done():
        for process in processes_of(trainer):  # again and again, for it may not have them yet
            if monotonic() < patience:
                process.terminate()
            else:
                process.kill()
        wait([running], timeout=0.1)
