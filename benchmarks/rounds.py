"""All contenders in turn, operation by operation and round by round."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.databases import Store, opened
from benchmarks.operations import CHANGES, INSERTS, Job, Outcome, WrongResult, expected
from benchmarks.progress import Progress
from benchmarks.schema import Model, Values, canonical
from benchmarks.turns import rotated
from benchmarks.workers import Worker, started


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured."""

    models: Sequence[str]
    databases: Sequence[str]
    concurrencies: Sequence[int]
    operations: Sequence[str]
    contenders: Sequence[str]
    rows: int
    rounds: int
    uvloop: bool = False

    def taking_part(self, database: str) -> list[str]:
        """The contenders that know this database."""
        return [name for name in self.contenders if database in CONTENDERS[name].databases]

    @property
    def steps(self) -> int:
        """How often something is timed."""
        each = len(self.models) * len(self.concurrencies) * len(self.operations) * (self.rounds + 1)
        return each * sum(len(self.taking_part(database)) for database in self.databases)


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender at one operation: microseconds for a row, one sample for a round; or what went wrong."""

    model: str
    database: str
    concurrency: int
    operation: str
    contender: str
    samples: list[float] = field(default_factory=list)
    cpu_samples: list[float] = field(default_factory=list)
    """Microseconds of the contender's process on a processor, which a busy machine lengthens less."""
    errors: list[str] = field(default_factory=list)


def measure(plan: Plan, progress: Progress) -> Iterator[list[Measured]]:
    """The results of each model, database and number of tasks, as they come."""
    for database in plan.databases:
        with opened(database) as store:
            for model in map(Model, plan.models):
                store.create(model)
                with started(plan.taking_part(database), store.url, model, plan.uvloop) as workers:
                    for concurrency in plan.concurrencies:
                        yield _rounds(plan, Course(store, model, workers), concurrency, progress)


@dataclass(frozen=True, slots=True)
class Course:
    """Who runs, and where."""

    store: Store
    model: Model
    workers: Mapping[str, Worker]


def _rounds(plan: Plan, course: Course, concurrency: int, progress: Progress) -> list[Measured]:
    """Every operation by every contender, once to warm up and then as often as the plan says."""
    store, model = course.store, course.model
    results = {
        (operation, name): Measured(model.name, store.dialect, concurrency, operation, name)
        for operation in plan.operations
        for name in course.workers
    }
    for turn in range(plan.rounds + 1):
        for number, operation in enumerate(plan.operations):
            job = Job(operation, plan.rows, concurrency, seed=turn)
            for name in rotated(list(course.workers), turn + number):
                progress.step(f"{store.dialect}, {model.name}, {concurrency} tasks, {operation}, {name}")
                outcome = once(course, course.workers[name].run, job)
                result = results[operation, name]
                if outcome.error:
                    result.errors.append(outcome.error)
                elif turn > 0:
                    result.samples.append(outcome.microseconds)
                    result.cpu_samples.append(outcome.cpu_microseconds)
    return list(results.values())


def once(course: Course, run: Callable[[Job], Outcome], job: Job) -> Outcome:
    """The operation on the same rows as for every other contender; an error if the table is not as it must be then."""
    model = course.model
    course.store.fill(model, [] if job.operation in INSERTS else model.stored(job.rows))
    outcome = run(job)
    if outcome.error or job.operation not in (*INSERTS, *CHANGES):
        return outcome
    found, wanted = course.store.rows(model), expected(model, job)
    names = model.names[2:] if job.operation in INSERTS else model.names
    if _sorted(found, names) != _sorted(wanted, names):
        return Outcome(error=f"{WrongResult.__name__}: {_difference(found, wanted, names)}")
    return outcome


def _sorted(rows: Sequence[Values], names: Sequence[str]) -> list[tuple[Any, ...]]:
    return sorted((canonical([row[name] for name in names]) for row in rows), key=repr)


def _difference(found: Sequence[Values], wanted: Sequence[Values], names: Sequence[str]) -> str:
    """Where the table differs, in few words."""
    if len(found) != len(wanted):
        return f"{len(found)} rows instead of {len(wanted)}"
    pairs = zip(_sorted(found, names), _sorted(wanted, names), strict=True)
    first = next((one, other) for one, other in pairs if one != other)
    return next(f"{name} is {a!r}, not {b!r}" for name, a, b in zip(names, *first, strict=True) if a != b)
