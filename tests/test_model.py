"""Constraints of a model on `repo.Base` have the names that the convention says, in the database itself."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Base, Database


class Own(DeclarativeBase):
    """A base of its own metadata, so that only the tables of this test are made."""

    metadata = type(Base.metadata)(naming_convention=Base.metadata.naming_convention)


class Parent(Own):
    __tablename__ = "parents"
    id: Mapped[int] = mapped_column(primary_key=True)


class Child(Own):
    __tablename__ = "children"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey(Parent.id), index=True)
    name: Mapped[str] = mapped_column(unique=True)
    age: Mapped[int]
    __table_args__ = (CheckConstraint("age >= 0", name="age"), Index(None, "name", "age"))


async def test_names_are_the_same_everywhere(db: Database) -> None:
    """Every kind of constraint is called by its table and columns on every database."""
    await db.create_all(Own.metadata)
    async with db.engine.connect() as connection:
        names = await connection.run_sync(
            lambda own: {
                inspect(own).get_pk_constraint("children")["name"],
                *(each["name"] for each in inspect(own).get_foreign_keys("children")),
                *(each["name"] for each in inspect(own).get_unique_constraints("children")),
                *(each["name"] for each in inspect(own).get_check_constraints("children")),
                *(each["name"] for each in inspect(own).get_indexes("children") if not each["unique"]),
            }
        )
    assert names == {
        "pk_children",
        "fk_children_parent_id_parents",
        "uq_children_name",
        "ck_children_age",
        "ix_children_parent_id",
        "ix_children_name_age",
    }
