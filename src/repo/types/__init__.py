"""Column types that behave the same on every database.

What goes in comes out equal, and is compared, ordered, and where that makes sense added up, as Python
does it. A value that one of the databases could not keep, and an operator of which they would make
different things, are refused on both.
"""

from repo.types.decimals import ExactDecimal
from repo.types.documents import Json
from repo.types.enums import TextEnum
from repo.types.moments import UTCDateTime
from repo.types.uuids import Uuid

__all__ = ["ExactDecimal", "Json", "TextEnum", "UTCDateTime", "Uuid"]
