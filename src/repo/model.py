"""The declarative base that gives every constraint a name."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import Double, MetaData
from sqlalchemy.orm import DeclarativeBase

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""How unnamed constraints are called, in the terms of ``sqlalchemy.MetaData.naming_convention``."""


class Base(DeclarativeBase):
    """Base class for models whose constraints have the same names on every database.

    A base of your own works with ``repo`` just as well; without a naming convention the database
    makes up the names, and then an error's ``constraint`` differs from database to database.

        class User(Base):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str] = mapped_column(unique=True)  # the constraint is uq_users_email
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    # What a Python float is, and what SQLAlchemy 2.1 makes of it; 2.0 says FLOAT.
    type_annotation_map: ClassVar[Mapping[Any, Any]] = {float: Double}
