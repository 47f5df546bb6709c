"""Each contender in a process of its own, so that none shares a heap, a loop or a global registry with another."""

import asyncio
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from benchmarks.contenders import CONTENDERS
from benchmarks.loops import loop_factory
from benchmarks.operations import Job, Outcome, execute
from benchmarks.schema import Model

PATIENCE = 600.0
"""Seconds after which an operation is given up."""


class Worker:
    """A contender's process, seen from outside."""

    def __init__(self, name: str, pipe: Connection) -> None:
        self.name = name
        self.pipe = pipe

    def run(self, job: Job) -> Outcome:
        """Have the operation done, and wait for its end."""
        self.pipe.send(job)
        return self.answer()

    def answer(self) -> Outcome:
        """What the process says next."""
        if not self.pipe.poll(PATIENCE):
            raise TimeoutError(f"{self.name} has not answered for {PATIENCE:.0f} s")
        outcome: Outcome = self.pipe.recv()
        return outcome


@contextmanager
def started(names: Sequence[str], url: str, model: Model, uvloop: bool) -> Iterator[Mapping[str, Worker]]:
    """The processes of these contenders, connected to the database."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_started(name, url, model, uvloop)) for name in names}
        for worker in workers.values():
            opened = worker.answer()
            if opened.error:
                raise RuntimeError(f"{worker.name} cannot be opened: {opened.error}")
        yield workers


@contextmanager
def _started(name: str, url: str, model: Model, uvloop: bool) -> Iterator[Worker]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, name, url, model, uvloop), name=name)
    process.start()
    theirs.close()
    try:
        yield Worker(name, ours)
        ours.send(None)
        process.join(30)
    finally:
        ours.close()
        if process.is_alive():
            process.terminate()
        process.join()


def _serve(pipe: Connection, name: str, url: str, model: Model, uvloop: bool) -> None:
    """The process: do what comes through the pipe, one after another, until None comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    contender = CONTENDERS[name].make()
    with asyncio.Runner(loop_factory=loop_factory(uvloop)) as runner:
        try:
            runner.run(contender.open(url, model))
        except Exception as error:
            pipe.send(Outcome(error=f"{type(error).__name__}: {error}"))
            return
        pipe.send(Outcome())
        try:
            while (job := pipe.recv()) is not None:
                pipe.send(runner.run(execute(contender, model, job)))
        except EOFError:
            pass
        finally:
            runner.run(contender.close())
