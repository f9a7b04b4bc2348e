"""Evaluations over an executor: in tasks that are long enough to be worth handing over and short enough to be spread.

A task holds f, the arguments and a number of points. How many depends on how long f takes, so a slow f is handed over
point by point. Nothing is known of the executor but its ``submit``, whatever it runs on: threads, processes, machines.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from ...errors import ADSelectError, ExecutorError, UnsupportedError
from ...values.kinds import isa
from ..backend import Call
from .points import Leaf, Line
from .probing import Failure, evaluate, portable, this_process

__all__ = ["Spread"]

SECONDS = 0.02  # how long a task is to take: a hundred times what it costs to hand one to another process
TASKS = 32  # as many tasks at least, where there are enough points, so that every worker has some
IN_FLIGHT = 256  # tasks handed over and not yet fetched

Point = tuple[Line, complex]


# -- in the worker ---------------------------------------------------------------------------------------------------


class Unreadable(str):
    """Why the worker could not read f."""


def work(call: Call, leaves: list[Leaf], points: list[Point], home: tuple) -> tuple[tuple, float, list]:
    """``(process, seconds, outputs or failure at each point)``."""
    here, start = this_process(), time.perf_counter()
    found: list = [evaluate(call, line.point(leaves, t)) for line, t in points]
    seconds = time.perf_counter() - start
    if here != home:
        found = [portable(outputs) if isa(outputs, Failure) else outputs for outputs in found]
    return here, seconds, found


def work_from(sent: bytes, points: list[Point], home: tuple) -> Any:
    """As :func:`work`; what cannot be read is said, where the pool's own reading would end the worker."""
    try:
        call, leaves = pickle.loads(sent)
    except Exception as error:
        return Unreadable(f"{type(error).__name__}: {error}")
    return work(call, leaves, points, home)


# -- here ------------------------------------------------------------------------------------------------------------


def _is_own_worker(executor: Any) -> bool:
    """Whether this thread works for the executor: if it waited for its own pool, all might wait for each other."""
    threads = getattr(executor, "_threads", None)
    if threads is None:
        return False
    # The pool enters a thread that it has started while it holds this lock.
    with getattr(executor, "_shutdown_lock", contextlib.nullcontext()):
        return threading.current_thread() in threads


class Spread:
    """f at points of one problem, evaluated by an executor, which is never shut down here.

    seconds: about how long one evaluation takes; what the workers report replaces it.
    """

    def __init__(self, executor: Executor, call: Call, leaves: list[Leaf], seconds: float):
        self.executor, self.call, self.leaves, self.seconds = executor, call, leaves, seconds
        self.sent: bytes | None = None

    def results(self, points: list[Point]) -> Iterator[tuple[tuple, list | Failure]]:
        """``(process, outputs or failure)`` for every point, in order."""
        if _is_own_worker(self.executor):
            yield from [(this_process(), evaluate(self.call, line.point(self.leaves, t))) for line, t in points]
            return
        pending: deque[Future] = deque()
        largest, start = -(-len(points) // TASKS), 0
        try:
            while pending or start < len(points):
                while start < len(points) and len(pending) < IN_FLIGHT:
                    size = max(1, min(largest, int(SECONDS / max(self.seconds, 1e-9))))
                    pending.append(self._submit(points[start : start + size]))
                    start += size
                process, seconds, found = self._fetch(pending.popleft())
                self.seconds = seconds / len(found)
                for outputs in found:
                    yield process, outputs
        finally:
            for future in pending:
                future.cancel()

    def _submit(self, points: list[Point]) -> Future:
        home = this_process()
        try:
            if not isinstance(self.executor, ProcessPoolExecutor):
                return self.executor.submit(work, self.call, self.leaves, points, home)
            if self.sent is None:
                self.sent = self._pickled()
            return self.executor.submit(work_from, self.sent, points, home)
        except ADSelectError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _pickled(self) -> bytes:
        try:
            return pickle.dumps((self.call, self.leaves))
        except Exception as error:  # whatever the __reduce__ of something that f holds raises
            raise self._cannot_travel(error) from error

    def _fetch(self, future: Future) -> tuple[tuple, float, list]:
        try:
            result = future.result()
        except Exception as error:
            raise self._failed(error) from error
        if isa(result, Unreadable):
            raise UnsupportedError(
                f"a worker of the {type(self.executor).__name__} could not read f ({result}). What is pickled is the "
                "name of f and of its module, and the worker imports that: define f in a module that the worker can "
                "import too, not at a prompt, in a notebook or under if __name__ == '__main__'"
            )
        return result

    def _failed(self, error: Exception) -> Exception:
        """What to raise where the executor gave an error; what f raises is no error of the executor."""
        text, name = f"{type(error).__name__}: {error}", type(self.executor).__name__
        said = str(error).lower()
        if isa(error, pickle.PicklingError) or "pickle" in said or "serializ" in said:
            return self._cannot_travel(error)
        if "shutdown" in said:
            return ExecutorError(
                f"the {name} that finite differences are spread over takes no more work ({text}). An executor in an "
                "adtype has to stay open as long as the adtype is used: call inside its with block, or make a new one"
            )
        return ExecutorError(
            f"the {name} that finite differences are spread over failed ({text}). A worker that dies has been ended "
            "from outside, as for want of memory, or by f itself, as by os._exit or a fault in compiled code: try f "
            "without an executor. Where processes are started by spawn, the program's own file is imported in each: "
            "what it runs belongs under if __name__ == '__main__'. A broken pool stays broken: make a new one"
        )

    def _cannot_travel(self, error: Exception) -> Exception:
        if not hasattr(self.call, "f"):
            return UnsupportedError(
                f"the executor {type(self.executor).__name__} sends what it evaluates to other processes, and that is "
                f"the derivative that another backend takes of f, which cannot be pickled ({type(error).__name__}: "
                f"{error}). Spread it over a concurrent.futures.ThreadPoolExecutor, or let finite differences take "
                "both derivatives: AutoFiniteDifferences(executor=…) in place of SecondOrder"
            )
        return UnsupportedError(
            f"the executor {type(self.executor).__name__} sends f to other processes and f cannot be pickled "
            f"({type(error).__name__}: {error}). Define f at the top level of a module (no lambda, no nested function) "
            "and let it hold nothing that cannot be pickled (no lock, no open file); or use an executor that sends "
            "functions with cloudpickle, as loky's and Dask's do; or concurrent.futures.ThreadPoolExecutor, whose "
            "workers take f as it is"
        )
