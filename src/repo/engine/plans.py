"""Statements that SQLAlchemy has compiled once, to be sent by the driver itself from then on.

SQLAlchemy compiles a statement once for each shape, too, but goes through its execution context, its
cursor and its result each time. A plan keeps what comes of that: the text, which value goes where,
and the functions by which types convert values and columns. This module asks a statement for its cache
key, as ``shapes`` does, and no other a compiled one for its processors, which are private to SQLAlchemy.
Where they are not there, there are no plans, and all goes SQLAlchemy's way; a test notices.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Dialect, FrozenResult
from sqlalchemy.orm import Mapper

from repo.engine.shapes import plain
from repo.engine.unhindered import Unhindered
from repo.events import Hook, LongWay, task_name

PLANS = 500
"""How many plans one engine keeps, as many as SQLAlchemy keeps compiled statements."""

_KEY = ("repo",)
"""In place of the whole key of a statement, which is kept elsewhere."""

Process = Callable[[Any], Any]


class Signature(NamedTuple):
    """What parts of statements have in common with all others of their shape, and the values that they do not."""

    key: Hashable
    parameters: list[BindParameter[Any]]

    @property
    def values(self) -> list[Any]:
        """The values themselves."""
        return [parameter.effective_value for parameter in self.parameters]


_NO_PARTS = Signature((), [])


def signature(*parts: Any) -> Signature | None:
    """The signature of parts of a statement; None where SQLAlchemy cannot tell the shape of one."""
    if not parts:
        return _NO_PARTS
    keys: list[Any] = []
    parameters: list[BindParameter[Any]] = []
    for part in parts:
        shape = plain(part, parameters)
        if shape is None:
            cached = part._generate_cache_key() if hasattr(part, "_generate_cache_key") else None
            if cached is None or getattr(cached, "params", None):
                return None
            shape = cached.key
            parameters.extend(cached.bindparams)
        keys.append(shape)
    return Signature(tuple(keys), parameters)


@dataclass(slots=True)
class _Kept:
    """What is known of a shape, and when it was used last, by the number of uses of all until then."""

    made: "Plan | str"
    used: int


class Plans:
    """The plans of one engine; what was not used for the longest time is forgotten first.

    Args:
        dialect: SQLAlchemy's, of an engine that was connected.
        hooks: are told of what has no plan.
    """

    def __init__(self, dialect: Dialect, hooks: Sequence[Hook]) -> None:
        self.dialect = dialect
        """SQLAlchemy's."""
        self.unhindered = Unhindered()
        """To which tables rows are added without waiting for anybody."""
        self._hooks = hooks
        self._kept: dict[Hashable, _Kept] = {}
        self._uses = 0

    def known(self, shape: Hashable) -> "Plan | str | None":
        """The plan for a shape of statement, or the reason why there is none; None where nothing is known of it."""
        kept = self._kept.get(shape)
        if kept is None:
            return None
        self._uses = kept.used = self._uses + 1
        return kept.made

    def keep(self, shape: Hashable, subject: type[Any], made: "Plan | str") -> "Plan | str":
        """Keep the plan for a shape, or the reason why there is none.

        Args:
            shape: what decides about it.
            subject: the model that it is about, for the hooks.
            made: what is to be kept.
        """
        self._uses += 1
        self._kept[shape] = _Kept(made, self._uses)
        if len(self._kept) > PLANS:
            del self._kept[min(self._kept, key=lambda shape: self._kept[shape].used)]
        if isinstance(made, str):
            self._tell(subject, made)
        return made

    def refuse(self, shape: Hashable, subject: type[Any], reason: str) -> None:
        """Note, once, that there is no plan for a shape, and why."""
        if self.known(shape) is None:
            self.keep(shape, subject, reason)

    def has_refused(self, shape: Hashable) -> bool:
        """Whether it was noted that there is no plan for a shape."""
        return isinstance(self.known(shape), str)

    def _tell(self, subject: type[Any], reason: str) -> None:
        """Tell the hooks why something has no plan."""
        for hook in self._hooks:
            hook(LongWay(subject=subject.__name__, reason=reason, task=task_name(), at=time.perf_counter()))

    def plan(self, statement: Any, parameters: Sequence[BindParameter[Any]]) -> "Plan | str":
        """A plan for a statement of plain columns, in which these parameters get other values each time."""
        made = Plan(self.dialect, statement, parameters)
        if made.has_more:
            return "a value of it is made each time that it is executed"
        return made if made.is_complete else "a value of the statement goes nowhere that can be found"


class Plan:
    """One statement as the driver takes it.

    Args:
        dialect: SQLAlchemy's, of an engine that was connected.
        statement: what to compile.
        parameters: those of its signature, or of the signatures of all its parts that have some.
    """

    def __init__(self, dialect: Dialect, statement: Any, parameters: Sequence[BindParameter[Any]]) -> None:
        self._compiled: Any = statement.compile(dialect=dialect, cache_key=(_KEY, list(parameters)))
        self._processes: dict[str, Any] = self._compiled._bind_processors
        self._expands = bool(self._compiled.post_compile_params)
        self._count = len(parameters)
        self._constants, self._places = _places(self._compiled, len(parameters))
        self._text: str = self._compiled.string
        order = [self._places.get(name) for name in self._compiled.positiontup]
        is_plain = None not in order and not self._processes and not self._expands
        self._pick = _picker(order) if is_plain else None
        columns = self._compiled._result_columns
        self._columns = [(column.type.dialect_impl(dialect), dialect) for column in columns]
        self.reading: list[tuple[int, Process]] | None = None
        """The columns of which the driver's value is not Python's; None as long as that is not known."""
        self.mapper: Mapper[Any] | None = None
        """The model of which its rows are entities, where the statement itself decides that."""
        self.frame: FrozenResult[Any] | None = None
        """A result without rows, which knows what the columns are called; None as long as none was seen."""
        self.rows = 0
        """How many there were the last time."""
        self.is_quick = False
        """Whether the database was seen to find them quickly."""
        if not any(map(_asks_the_driver, self._columns)):
            self.learn(())

    @property
    def has_more(self) -> bool:
        """Whether SQLAlchemy makes values for it each time, such as the defaults of columns that it does not name."""
        return bool(self._compiled.insert_prefetch or self._compiled.update_prefetch)

    @property
    def is_complete(self) -> bool:
        """Whether it is known of each parameter where its value goes."""
        return len({*self._places.values()}) == self._count

    def learn(self, codes: Sequence[Any]) -> None:
        """Note by what codes the driver calls the types of the columns, if it knows any."""
        each = zip(self._columns, codes or [None] * len(self._columns), strict=True)
        found = [kind.result_processor(dialect, code) for (kind, dialect), code in each]
        self.reading = [(number, process) for number, process in enumerate(found) if process is not None]

    def bound(self, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """The text, and in its order the values as the driver takes them.

        Args:
            values: one for each of the parameters.
        """
        if self._pick is not None:
            return self._text, self._pick(values)
        given = {name: values[place] for name, place in self._places.items()} | self._constants
        if not self._expands:
            return self._text, _converted(given, self._compiled.positiontup, self._processes)
        state = self._compiled.construct_expanded_state(given, escape_names=False)
        return state.statement, _converted(state.parameters, state.positiontup, {**self._processes, **state.processors})

    def read(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The driver's rows with Python's values."""
        if not self.reading:
            return rows
        converted = list(map(list, rows))
        for number, process in self.reading:
            for values in converted:
                values[number] = process(values[number])
        return converted


def _picker(order: Sequence[Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """The function that gives the values at these places."""
    if order == [*range(len(order))]:
        return lambda values: values
    return itemgetter(*order) if len(order) > 1 else lambda values: [values[place] for place in order]


def _converted(values: Any, names: Sequence[str], processes: Any) -> list[Any]:
    """The values as the driver takes them."""
    return [processes[name](values[name]) if name in processes else values[name] for name in names]


class _Place:
    """Stands for a value, to find out where it goes."""

    callable = None

    def __init__(self, number: int) -> None:
        self.value = self.effective_value = self
        self.number = number


def _places(compiled: Any, count: int) -> tuple[dict[str, Any], dict[str, int]]:
    """The values that are always the same, and which of the others each parameter has."""
    probes = [_Place(number) for number in range(count)]
    named = compiled.construct_params(extracted_parameters=probes or None, escape_names=False, _check=False)
    places = {name: value.number for name, value in named.items() if isinstance(value, _Place)}
    return {name: value for name, value in named.items() if name not in places}, places


def _asks_the_driver(column: tuple[Any, Dialect]) -> bool:
    """Whether a type's way to read depends on what the driver calls the column's type."""
    kind, dialect = column
    try:
        kind.result_processor(dialect, None)
    except Exception:
        return True
    inner = kind
    while hasattr(inner, "impl_instance"):
        inner = inner.impl_instance
    return not type(inner).__module__.startswith("sqlalchemy.")
