"""Members of enumerations."""

import enum
from typing import Any, Generic, TypeVar

from sqlalchemy import Dialect, String

from repo.errors import ConfigurationError, InvalidValue
from repo.types.base import PortableType

E = TypeVar("E", bound=enum.Enum)

_SHOWN = 10


class TextEnum(PortableType[E], Generic[E]):
    """A member of an enumeration, stored by its name as text; it sorts by the letters of the name.

    There is no type in the database to migrate, and no length: the class may get new members at any time.

    Args:
        members: the enumeration; not of flags, as what is made of several has no name of its own.

    Raises:
        InvalidValue: no member is given, or what is stored is the name of none.
        UsageError: an operator that does not compare.

        class Order(Base):
            status: Mapped[Status] = mapped_column(TextEnum(Status))
    """

    # By code points, as the other database and Python sort; else it would be by the rules of some language.
    impl = String().with_variant(String(collation="C"), "postgresql")
    cache_ok = True
    written = "sa.String().with_variant(sa.String(collation='C'), 'postgresql')"

    def __init__(self, members: type[E]) -> None:
        if issubclass(members, enum.Flag):
            raise ConfigurationError(f"{members.__name__} is an enumeration of flags, which several names can make up")
        super().__init__()
        self.members = members

    @property
    def python_type(self) -> type[E]:
        return self.members

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not isinstance(value, self.members):
            raise InvalidValue(f"a member of {self.members.__name__} is wanted, not {type(value).__name__}")
        return str(value.name)

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        if value is None:
            return None
        try:
            return self.members[value]
        except KeyError:
            names = list(self.members.__members__)
            known = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise InvalidValue(
                f"a text is stored for {self.members.__name__} that is the name of none of its members ({known}): by "
                "another program, or before the member was renamed"
            ) from None
