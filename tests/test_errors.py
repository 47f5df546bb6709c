"""The tree of errors; and how its errors are found out, beyond what the table of mistakes shows."""

import copy
import pickle
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import exc, insert

from repo import ConstraintViolation, Database, ForeignKeyViolation, RepoError, errors
from tests.mistakes import Author, Authors, Base, Book, Books, caught, seed


@pytest.fixture
async def seeded(db: Database) -> Database:
    """A database with the tables of `tests.mistakes` and a few rows."""
    await seed(db)
    return db


async def test_the_row_that_fails_may_be_any_of_many(seeded: Database) -> None:
    """Of many rows in one statement, the one in the middle that breaks a foreign key is found."""
    rows = [
        {"id": n, "title": "new", "author_id": 101, "editor_id": None if n != 150 else 999} for n in range(110, 200)
    ]
    for doing in (Books(seeded).add_many(rows), seeded.execute(insert(Base.metadata.tables["books"]), rows)):
        error = await caught(doing)
        assert isinstance(error, ForeignKeyViolation)
        assert (error.constraint, error.columns) == ("fk_books_editor_id_authors", ("editor_id",))
    assert await Books(seeded).count() == 1


async def test_what_is_left_to_do_after_an_error_is_not_disturbed_by_looking_into_it(seeded: Database) -> None:
    """In a savepoint, a violated foreign key leaves no trace, and foreign keys are checked as before."""
    async with seeded.transaction() as tx:
        for _ in range(2):
            with pytest.raises(ForeignKeyViolation):
                async with tx.savepoint():
                    await Books(tx).add(Book(id=7, title="new", author_id=101, editor_id=999))
        await Books(tx).add(Book(id=8, title="new", author_id=101))
    assert [book.id for book in await Books(seeded).all()] == [8, 101]


def test_translate_leaves_alone_what_it_does_not_know() -> None:
    """An error of ours stays itself; one that is neither the database's nor SQLAlchemy's is None."""
    error = RepoError("ours")
    assert errors.translate(error) is error
    unknown = (ValueError("the application's"), ConnectionRefusedError(), TimeoutError(), LookupError("no trace"))
    assert [errors.translate(each) for each in unknown] == [None] * 4


async def test_whoever_knows_sqlalchemy_finds_its_errors(seeded: Database) -> None:
    """A violation is SQLAlchemy's IntegrityError, with the driver's error as `orig`, and no values in `params`."""
    with pytest.raises(exc.IntegrityError) as raised:
        await Authors(seeded).add(Author(id=101, name="new"))
    assert raised.value.orig is raised.value.__cause__
    assert (raised.value.statement, raised.value.params, raised.value.detail) == (None, None, [])
    with pytest.raises(exc.NoResultFound):
        await Authors(seeded).get_one(999)
    with pytest.raises(exc.MultipleResultsFound):
        await Authors(seeded).one(Author.alive.is_(True))


def every_class(base: type[RepoError] = RepoError) -> Iterator[type[RepoError]]:
    """Each class of the tree in `repo.errors`."""
    yield base
    for below in base.__subclasses__():
        if below.__module__ == base.__module__:
            yield from every_class(below)


@pytest.mark.parametrize("kind", sorted(set(every_class()), key=str))
def test_an_error_can_be_copied_and_sent_to_another_process(kind: type[RepoError]) -> None:
    """Pickling and copying keep everything that an error says."""
    error = kind("what happened", code="X1")
    error.add_note("a note")
    if isinstance(error, ConstraintViolation):
        error.constraint, error.table, error.columns = "uq_t_a", "t", ("a",)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    """The drawing names every class once, and marks the retryable ones."""
    drawing, _, _ = (errors.__doc__ or "").partition("Every error has")
    named = re.findall(r"(?<![.\w])[A-Z]\w+", drawing)
    assert sorted(named) == sorted({kind.__name__ for kind in every_class()} | {"What"})
    marked = {
        name for line in drawing.splitlines() if line.endswith(" retryable") for name in re.findall(r"[A-Z]\w+", line)
    }
    assert marked == {kind.__name__ for kind in every_class() if kind.retryable}
