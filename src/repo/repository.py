"""Typed repositories: a model's verbs over a scope."""

from typing import Any, TypeVar, get_args, get_origin

from repo.bound import Bound, M
from repo.upserts import Upserts


class Repository(Upserts[M]):
    """The verbs of one model, over any scope.

    A class of its own for each model is where an application keeps its queries::

        class Users(Repository[User]):
            async def named(self, name: str) -> list[User]:
                return await self.all(User.name == name)

        users = Users(db)

    ``get``, ``first`` and ``one_or_none`` give None for what is not there; everything that must
    give an entity raises ``NotFound``. Verbs that end in ``_many`` take many rows, those that end
    in ``_where`` one condition for many; ``_where`` verbs refuse to be called without one.

    Args:
        scope: a ``Database``, a ``Transaction``, a ``Snapshot``, or an ``AsyncSession``.

    Raises:
        UsageError: the class has no model, or the scope is none.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        model = _model_of(cls)
        if model is not None and not isinstance(model, TypeVar):
            cls.model = model


def _model_of(cls: type[Any]) -> Any:
    """What a class says of its model: the model, a type variable of the class, or None for nothing new."""
    if cls is Bound:
        return M
    for base in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Bound):
            inner = _model_of(origin)
            if isinstance(inner, TypeVar):
                parameters: Any = vars(origin)["__parameters__"]
                return get_args(base)[parameters.index(inner)]
    return None
