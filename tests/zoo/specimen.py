"""What a model must tell about itself to be run through every verb."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.orm import DeclarativeBase, Mapper

from repo import Repository
from repo.model import NAMING_CONVENTION

SEVERAL_TABLES = dict.fromkeys(("upsert", "get_or_add"), r"is in several tables, of which one INSERT reaches only one")
"""Verbs that a model in several tables refuses, and why."""


class Zoo(DeclarativeBase):
    """The base of the models of the zoo."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A model, how to make its rows, and what changes about them."""

    model: type[Any]
    row: Callable[[int], dict[str, Any]]
    """The columns of row ``n`` by attribute; each row is another."""
    change: Mapping[str, Any]
    """New values of columns, by attribute, that no row has yet."""
    make: Callable[[int], Any] | None = None
    """A new entity for row ``n``; None means that the model takes the row as keyword arguments."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """New values of attributes that are no columns: hybrids, composites, synonyms."""
    moves: frozenset[str] = frozenset()
    """Attributes that a write changes by itself: versions, expressions, what the database computes."""
    before: Callable[[], Sequence[Any]] = tuple
    """Entities that must be stored first, because rows refer to them."""
    load: Sequence[Any] = ()
    """What ``load=`` can bring."""
    reads: Sequence[type[Any]] = ()
    """Models whose tables it reads without a relationship to them."""
    unordered: frozenset[str] = frozenset()
    """Columns in whose order there are no pages."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Verbs that must be refused, by how their names begin, and why: a regular expression."""
    without: tuple[str, ...] = ()
    """Verbs that make no sense for it, by how their names begin."""
    feature: str | None = None
    """What a database must have for it."""

    @property
    def id(self) -> str:
        """Its name in the list of tests."""
        return self.model.__name__

    @property
    def mapper(self) -> Mapper[Any]:
        """SQLAlchemy's mapper of the model."""
        mapper: Mapper[Any] = inspect(self.model)
        return mapper

    @property
    def repository(self) -> type[Repository[Any]]:
        """A repository of the model."""
        return type(f"{self.id}s", (Repository,), {"model": self.model})

    def entity(self, n: int) -> Any:
        """A new entity for row ``n``."""
        return self.model(**self.row(n)) if self.make is None else self.make(n)

    @property
    def tables(self) -> list[Table]:
        """The tables of the model and of all that it refers to."""
        found: dict[Table, None] = {}
        pending, seen = [inspect(model).base_mapper for model in (self.model, *self.reads)], set[Mapper[Any]]()
        while pending:
            for mapper in set(pending.pop().self_and_descendants) - seen:
                seen.add(mapper)
                pending += [each.mapper.base_mapper for each in mapper.relationships]
                secondary = (each.secondary for each in mapper.relationships)
                found |= dict.fromkeys(t for t in (*mapper.tables, *secondary) if isinstance(t, Table))
        new = list(found)
        while new:
            referred = {key.column.table for table in new for key in table.foreign_keys}
            new = list(referred - found.keys())
            found |= dict.fromkeys(new)
        return list(found)
