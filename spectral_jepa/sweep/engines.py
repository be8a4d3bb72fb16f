"""Where cells run: processes of this machine, a Dask cluster, or jobs of a queue such as Slurm's.

Each engine is a generator of cell files' contents in the order in which they end. A cell's file is written by its worker, so
that whatever is lost, a worker, a scheduler, or the process that waits here, costs the cells that were running and no other.
"""

from __future__ import annotations

import collections
import contextlib
import time
import traceback
from collections.abc import Generator
from typing import Any

from spectral_jepa._files import decode_record, encode_record
from spectral_jepa._processes import deaf_children, worker_settings
from spectral_jepa._validation import InputError, check_count, first_line, warn_user
from spectral_jepa.sweep.cells import (
    RunCell,
    Task,
    cell_name,
    compute_cell,
    compute_missing_cells,
    load_cells,
    write_cell,
)
from spectral_jepa.sweep.devices import visible_gpus
from spectral_jepa.sweep.places import open_place

Contents = Generator[bytes, None, None]
# Cells that a Dask worker gets at once: as many as take this long, so that the scheduler's 2 ms a task do not count.
BATCH_SECONDS, BATCH_CELLS = 0.5, 200
# Batches sent ahead for each thread, so that none waits, and how long the number of threads is believed.
AHEAD, THREADS_SECONDS = 2, 1.0
# A queue's job that ends without a single cell, so often, has met one that ends it.
LOSSES = 3
# How often the files of a queue's jobs are looked for: at first, and at most.
POLL_SECONDS, LONGEST_POLL = 0.2, 15.0
JOBS = "jobs"


def local_processes(n_jobs: int, n_cells: int, gpu: bool) -> int:
    """How many worker processes this machine runs.

    Parameters
    ----------
    n_jobs : int
        Asked for; -1: one a core, or, where each needs one, one a graphics card.
    n_cells : int
    gpu : bool

    Returns
    -------
    int

    Raises
    ------
    InputError
        More processes than graphics cards.

    Examples
    --------
    >>> local_processes(4, 2, gpu=False)
    2
    """
    import joblib

    if gpu:
        n_gpus = len(visible_gpus())
        if n_jobs > n_gpus or not n_gpus:
            raise InputError(
                f"n_jobs is {n_jobs} and this machine shows {n_gpus} GPUs, expected at most one process for each: "
                "lower n_jobs (--n-jobs), or leave gpu (--gpu) out"
            )
        return max(1, min(n_gpus if n_jobs == -1 else n_jobs, n_cells))
    return max(1, min(int(joblib.effective_n_jobs(n_jobs)), n_cells))


def run_on_joblib(run_cell: RunCell, tasks: list[Task], n_jobs: int) -> Contents:
    """Run on local processes; batches of small cells, results as they come.

    Parameters
    ----------
    run_cell : callable, or Experiment
    tasks : list of Task
    n_jobs : int
        See :func:`local_processes`.

    Yields
    ------
    bytes
        Content of a cell's file.

    Raises
    ------
    InputError
        A worker died.

    Examples
    --------
    >>> list(run_on_joblib(lambda x: {"y": x}, [], 1))
    []
    """
    if not tasks:
        return
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    n_jobs = local_processes(n_jobs, len(tasks), tasks[0].gpu)
    threads = 1 if n_jobs > 1 else None
    with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=threads), deaf_children():
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size="auto", **worker_settings())
        finished = parallel(joblib.delayed(compute_cell)(run_cell, task) for task in tasks)
    try:
        yield from finished
    except BrokenProcessPool as error:
        raise InputError(
            f"a worker process died with n_jobs={n_jobs}, most often for lack of memory: "
            "run the same command again with a smaller n_jobs, finished cells are kept"
        ) from error
    finally:
        finished.close()  # on an interrupt: ends the workers at once


def check_client(client: Any) -> None:
    """Refuse what is no Dask client.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    InputError
        Another type, or no Dask here.

    Examples
    --------
    >>> check_client("tcp://scheduler:8786")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: client is a str, expected a distributed.Client: pass Client(address) or None
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "client= needs the package distributed, which is not installed: pip install 'spectral-jepa[cluster]'"
        ) from None
    if not isinstance(client, Client):
        raise InputError(f"client is a {type(client).__name__}, expected a distributed.Client: pass Client(address) or None")


def run_on_dask(run_cell: RunCell, tasks: list[Task], client: Any) -> Contents:
    """Run on a Dask cluster; workers may come and go.

    Parameters
    ----------
    run_cell : callable, or Experiment
    tasks : list of Task
    client : distributed.Client

    Yields
    ------
    bytes
        Content of a cell's file. A cell that ends every worker it meets becomes a failed one.

    Raises
    ------
    InputError
        The scheduler was lost. Of the cells that were sent nothing is known then: they stay missing.

    Notes
    -----
    Cells are sent in batches of about half a second, two for each thread; whoever gets a batch of a lost worker skips the
    cells whose files are there.
    """
    import asyncio
    from concurrent.futures import CancelledError

    from distributed import as_completed

    queue, alone = collections.deque(tasks), collections.deque[Task]()
    sent: dict[Any, tuple[list[Task], int]] = {}
    waiting = as_completed([])
    size, threads, asked = 1, 1, float("-inf")

    def send() -> None:
        nonlocal threads, asked
        if time.monotonic() - asked > THREADS_SECONDS:
            threads, asked = max(1, sum(client.nthreads().values())), time.monotonic()
        while (queue or alone) and len(sent) < AHEAD * threads:
            if alone:
                batch = [alone.popleft()]
            else:
                # Towards the end in small parts, so that all workers end together.
                count = max(1, min(size, len(queue) // (AHEAD * threads)))
                batch = [queue.popleft() for _ in range(min(count, len(queue)))]
            future = client.submit(compute_missing_cells, run_cell, batch, pure=False)
            sent[future] = batch, len(batch)
            waiting.add(future)

    try:
        try:
            send()
            while sent:
                future = next(waiting)
                batch, count = sent.pop(future)
                contents: list[bytes] = []
                if future.status == "error" and count > 1:
                    alone.extend(batch)  # one of them ends its workers: each on its own, to find out which
                elif future.status == "error":
                    try:
                        future.result()
                    except Exception:
                        contents = [write_cell(batch[0], [{}], traceback.format_exc(), 0.0)]
                else:
                    # Where it was cancelled or lost this raises: nothing is known of its cells, so that they stay missing.
                    contents = future.result()
                    seconds = sum(decode_record(content)["duration_seconds"] for content in contents) / count + 1e-4
                    size = int(max(1, min(BATCH_CELLS, 2 * count, BATCH_SECONDS / seconds)))
                # A result that is held is computed again when its worker dies.
                future.release()
                del future
                send()
                yield from contents
        except (OSError, asyncio.CancelledError, CancelledError) as error:
            raise InputError(
                f"the Dask scheduler or its answer was lost ({first_line(error)}), expected it to stay until "
                "the end: run the same command again, finished cells are kept"
            ) from None
    finally:
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to cancel
            client.cancel(list(sent))


def check_executor(executor: Any, n_jobs: int) -> None:
    """Refuse what is no submitit executor, and a number of jobs that is none.

    Parameters
    ----------
    executor : submitit.Executor
    n_jobs : int

    Raises
    ------
    InputError
        Another type, a number below 1, or no submitit here.

    Examples
    --------
    >>> check_executor("slurm", 2)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: executor is a str, expected a submitit.Executor: pass submitit.AutoExecutor(folder)
    """
    try:
        from submitit import Executor
    except ImportError:
        raise InputError(
            "executor= needs the package submitit, which is not installed: pip install 'spectral-jepa[cluster]'"
        ) from None
    if not isinstance(executor, Executor):
        raise InputError(
            f"executor is a {type(executor).__name__}, expected a submitit.Executor: pass submitit.AutoExecutor(folder)"
        )
    check_count("n_jobs", n_jobs, why="the number of jobs that share the cells")


def run_share(run_cell: RunCell, tasks: list[Task]) -> int:
    """What one job of a queue does: its cells, one after the other; several tasks of one job divide them.

    Parameters
    ----------
    run_cell : callable, or Experiment
    tasks : list of Task

    Returns
    -------
    int
        How many cells were its own.
    """
    import submitit

    environment = submitit.JobEnvironment()
    own = tasks[environment.global_rank :: environment.num_tasks]
    return len(compute_missing_cells(run_cell, own))


def run_on_submitit(run_cell: RunCell, tasks: list[Task], executor: Any, n_jobs: int) -> Contents:
    """Run as jobs of a queue, through submitit; the jobs go on when this process ends, and the next call waits for them.

    Parameters
    ----------
    run_cell : callable, or Experiment
    tasks : list of Task
    executor : submitit.Executor
        Its parameters are those of each job; its folder must be one that the jobs see, too.
    n_jobs : int
        How many jobs share the cells.

    Yields
    ------
    bytes
        Content of a cell's file. A cell with which three jobs ended in turn becomes a failed one.

    Notes
    -----
    A job that is sent in the instant in which this process is killed may have no record: its cells are then computed twice.
    ``jobs/ID.json`` beside the cells says which cells a job has. While it lives they are nobody else's; when it ends (its
    time is over, its node is lost) what it has not done is given to a new job.

    Examples
    --------
    >>> list(run_on_submitit(lambda x: {"y": x}, [], None, 1))
    []
    """
    if not tasks:
        return
    place = open_place(tasks[0].folder)
    todo = {task.key: task for task in tasks}
    earlier = _earlier_jobs(executor, place)
    living = {job: keys for job, keys in earlier.items() if _is_alive(job)}
    place.remove(_job_record(job) for job in earlier if job not in living)
    # Files of cells that failed or are damaged: with them gone, a file that is there is a cell that ended.
    covered = {key for keys in living.values() for key in keys}
    there = place.names()
    place.remove(cell_name(key) for key in todo if key not in covered and f"{key}.json" in there)
    if living:
        warn_user(f"{len(living)} jobs of an earlier call still run on {place}: waiting for their cells", UserWarning)
    losses: collections.Counter[str] = collections.Counter()
    pause = POLL_SECONDS
    while todo:
        taken = {key for keys in living.values() for key in keys}
        free = [task for key, task in todo.items() if key not in taken]
        n_new = min(n_jobs - len(living), len(free))
        shares = [free[i::n_new] for i in range(n_new)]
        with executor.batch() if shares else contextlib.nullcontext():  # one array of jobs
            jobs = [executor.submit(run_share, run_cell, share) for share in shares]
        for job, share in zip(jobs, shares, strict=True):
            living[job] = [task.key for task in share]
            record = {"job_id": str(job.job_id), "folder": str(job.paths.folder), "cell_keys": living[job]}
            place.write(_job_record(job), encode_record(record))
        # Whether a job lives is asked before its files are looked for: what it wrote at last is seen then.
        ended = [job for job in living if not _is_alive(job)]
        there = place.names()
        new, _ = load_cells(place, [key for key in todo if f"{key}.json" in there])
        for key, record in new.items():
            del todo[key]
            yield encode_record(record)
        for job in ended:
            left = [key for key in living.pop(job) if key in todo]
            place.remove([_job_record(job)])
            if left:
                losses[left[0]] += 1
            if left and losses[left[0]] == LOSSES:
                text = f"{LOSSES} jobs ended with this cell, the last one {job.job_id}; it said\n{_last_words(job)}"
                yield write_cell(todo.pop(left[0]), [{}], text, 0.0)
        pause = POLL_SECONDS if new or ended else min(1.5 * pause, LONGEST_POLL)
        if todo and not ended:
            time.sleep(pause)
    # A job lives a moment longer than its last cell; one that has cells of another call keeps its record.
    asked = {task.key for task in tasks}
    place.remove(_job_record(job) for job, keys in living.items() if asked.issuperset(keys))


def _job_record(job: Any) -> str:
    return f"{JOBS}/{job.job_id}.json"


def _earlier_jobs(executor: Any, place: Any) -> dict[Any, list[str]]:
    """The jobs that an earlier call sent and their cells; a record that is damaged says nothing."""
    found = {}
    for content in place.read_all(f"{JOBS}/{name}" for name in place.names(JOBS) if name.endswith(".json")).values():
        with contextlib.suppress(ValueError, KeyError):
            record = decode_record(content)
            kind = getattr(executor, "_executor", executor).job_class
            found[kind(record["folder"], record["job_id"])] = record["cell_keys"]
    return found


def _is_alive(job: Any) -> bool:
    """Whether a job waits or runs. submitit does not know a local job of another process, but the system does."""
    import psutil
    from submitit.local.local import LocalJob

    if isinstance(job, LocalJob) and job._process is None:
        try:
            return (
                not job.paths.result_pickle.exists() and "submitit.local._local" in psutil.Process(int(job.job_id)).cmdline()
            )
        except (psutil.Error, ValueError):
            return False
    return not job.done()


def _last_words(job: Any) -> str:
    with contextlib.suppress(Exception):
        return "\n".join(str(job.stderr() or "nothing").strip().splitlines()[-20:])
    return "nothing"
