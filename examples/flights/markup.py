"""Elements of HTML and SVG as text: escaped where they must be, and always closed."""

from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An element; a child that is not `Markup` is text.

    `_` in the name of an attribute is `-`, and a trailing one is dropped: `class_="bar"`, `stroke_width=2`.
    """
    inside = "".join(child if isinstance(child, Markup) else escape(child, quote=False) for child in children)
    said = "".join(f' {_name(key)}="{escape(_value(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{said}>{inside}</{name}>")


def join(*parts: str) -> Markup:
    """Elements one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part, quote=False) for part in parts))


def _name(key: str) -> str:
    """The attribute's name in markup."""
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    """Numbers to a tenth of a pixel, the rest as it is."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
