"""Code about code: the house of `src/repo`, in the order in which it may be imported, and the ruler for every file."""

import ast
import graphlib
import inspect
import io
import re
import statistics
import subprocess
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import repo

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "repo"

# A module may import what stands before it. A package of which no module is listed, such as `dialects.sqlite`, is one
# place; its modules may import each other.
HOUSE = (
    *("errors", "events", "model", "retry", "cursors", "uniqueness", "pagination", "gather"),  # the words
    *("dialects.base", "dialects.sqlite", "dialects.postgresql", "dialects.registry", "dialects"),
    *(
        "engine.values",
        "engine.meanings",
        "engine.border",
        "engine.conditions",
        "engine.versions",
        "engine.execution",
        "engine.loading",
        "engine.rules",
        "engine.criteria",
        "engine.reach",
        "engine.entities",
        "engine.changes",
        "engine.admission",
        "engine.turns",
        "engine.making",
        "engine.shapes",
        "engine.unhindered",
        "engine.plans",
        "engine.hydration",
        "engine.loop",
        "engine.lending",
        "engine.lanes",
        "engine.connections",
        "engine.directly",
        "engine.asking",
        "engine.lookups",
        "engine.tokens",
        "engine.flushing",
        "engine.originals",
        "engine.unloaded",
        "engine.rows",
        "engine.generated",
        "engine.together",
        "engine.writing",
        "engine.entity_writing",
        "engine.storing",
        "engine.binding",
        "engine.sources",
        "engine.uniques",
        "engine.upserting",
        "engine.bulk",
        "engine.locking",
        "engine",
    ),
    *("scopes.call", "scopes.stream", "scopes.queue", "scopes.batching", "scopes.adjacent"),
    *(
        "scopes.scope",
        "scopes.session",
        "scopes.after_commit",
        "scopes.transaction",
        "scopes.snapshot",
        "scopes.replica",
    ),
    *("scopes.units", "scopes.once", "scopes"),
    *("types", "bound", "finding", "reads", "writes", "upserts", "repository", "database"),  # the face
    *("migrations", "testing", "pytest_plugin", ""),  # around it; "" is repo/__init__.py
)
DIALECT_NAME = re.compile(r"\S*\b(sqlite|aiosqlite|postgres|postgresql|asyncpg)\b\S*")
MAY_NAME_DIALECTS = (
    "dialects",  # its purpose
    "types",  # types that are stored differently
    "testing",  # starts a Postgres
)
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:|mypy:|ruff:|pragma:)")
REASONED = re.compile(r"# (noqa: [A-Z]+\d+|(type|pyright): ignore\[[\w-]+\])(, [\w-]+)*  # \w+ \w+")
ADDRESS = re.compile(r"\b(?:https?|ftp|git\+\w+)://(?!www\.w3\.org|127\.0\.0\.1|localhost|\w+\.example)|\bpypi\.org")
MACHINE_PATH = re.compile(r"(?<![\w.)}*])/(?:root|home|tmp|work|Users)/\w")


def test_exports_are_sorted_few_and_documented() -> None:
    """`repo` exports at most 30 names, sorted, each with a docstring."""
    assert list(repo.__all__) == sorted(set(repo.__all__))
    assert len(repo.__all__) <= 30
    assert [name for name in repo.__all__ if not getattr(repo, name).__doc__] == []


def test_whatever_a_user_can_reach_is_documented() -> None:
    """Each public method and property of an exported class has a docstring, its own or its base's."""
    classes = [value for value in map(vars(repo).get, repo.__all__) if inspect.isclass(value)]
    assert [member.__qualname__ for each in classes for member in methods(each) if not inspect.getdoc(member)] == []


def test_exports_are_complete() -> None:
    """Whatever a user can see in `repo` is exported from it; the rest are its modules."""
    visible = {name for name, value in vars(repo).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert visible == set(repo.__all__) - {"__version__"}


def test_every_module_has_its_place() -> None:
    """Every module of `src/repo` stands in the list above."""
    assert [module for module in modules() if place(module) is None] == []


def test_imports_go_up() -> None:
    """A module imports only what stands before it, not even for type checking or inside a function otherwise."""
    wrong = [
        f"{module} imports {target}"
        for module in modules()
        for target in imports(module)
        if (place(target) or 0) > (place(module) or 0)
    ]
    assert wrong == []


def test_imports_have_no_cycle() -> None:
    """Modules can be read one after the other: sorting them raises no CycleError."""
    graphlib.TopologicalSorter({module: set(imports(module)) - {module} for module in modules()}).prepare()


def test_dialects_are_named_in_their_room_alone() -> None:
    """No code but that listed above decides by the name of a database or driver; a message for people may name one."""
    elsewhere = [module for module in modules() if not module.startswith(MAY_NAME_DIALECTS)]
    assert [
        f"{module}:{line} {text!r}"
        for module in elsewhere
        for line, text in strings(tree(path_of(module)))
        if DIALECT_NAME.fullmatch(text)
    ] == []


def test_files_are_short() -> None:
    """A file of Python has at most 400 lines."""
    assert {name(path): lines for path in python_files() if (lines := len(text_of(path).splitlines())) > 400} == {}


def test_functions_are_short() -> None:
    """A function body has at most 50 lines; in `src/repo` at most 6 at the median and 25 at the 90th percentile."""
    assert [text for path in python_files() for text in functions_longer_than(50, path)] == []
    lengths = [length(function) for path in python_files() if SOURCE in path.parents for function in functions(path)]
    assert statistics.median(lengths) <= 6
    assert statistics.quantiles(lengths, n=10)[-1] <= 25


def test_functions_take_few_positional_parameters() -> None:
    """A function takes at most 5 parameters before its keyword-only options."""
    assert [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in python_files()
        for function in functions(path)
        if len(positional(function)) > 5
    ] == []


def test_suppressions_are_few_and_reasoned() -> None:
    """At most 10 lines switch a check off, and each says which one and why."""
    found = [
        f"{name(path)}: {comment}"
        for path in python_files()
        if "typing" not in path.parts  # there, the error is what is tested
        for comment in comments(path)
        if SUPPRESSION.search(comment)
    ]
    assert [comment for comment in found if not REASONED.search(comment)] == []
    assert len(found) <= 10


def test_no_file_points_to_a_machine() -> None:
    """No tracked file holds a download address or a path of the machine on which it was written."""
    found = [
        f"{name(path)}:{number} {line.strip()}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if ADDRESS.search(line) or MACHINE_PATH.search(line)
    ]
    assert found == []


def methods(cls: type) -> Iterator[Callable[..., object]]:
    """The public methods and properties of a class that are written in this package."""
    for name, value in inspect.getmembers(cls):
        method = value.fget if isinstance(value, property) else value
        if name[0] != "_" and inspect.isfunction(method) and method.__module__.startswith("repo"):
            yield method


@cache
def tracked() -> list[Path]:
    """Every file under version control that is still there."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / entry for entry in listed.split("\0") if entry and (ROOT / entry).is_file()]


def python_files() -> list[Path]:
    """Every tracked file of Python."""
    return [path for path in tracked() if path.suffix == ".py"]


def name(path: Path) -> str:
    """A path as it is written from the root of the project."""
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    """The text of a file, nothing for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(text_of(path))


@cache
def modules() -> list[str]:
    """The modules of `src/repo`, as `engine.border`; a package is its `__init__.py`, and `repo` itself is ""."""
    paths = (path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix("__init__").removesuffix(".") for path in paths)


def path_of(module: str) -> Path:
    """The file of a module."""
    path = SOURCE.joinpath(*filter(None, module.split(".")))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def place(module: str) -> int | None:
    """Where a module stands in the house; None if it has no place."""
    if module in HOUSE:
        return HOUSE.index(module)
    package = module.rpartition(".")[0]
    is_one_place = package in HOUSE and not any(other.startswith(f"{package}.") for other in HOUSE)
    return HOUSE.index(package) if package and is_one_place else None


def imports(module: str) -> Iterator[str]:
    """Each module of `repo` that this one imports, anywhere in its code; for a name, the module it is taken from."""
    for node in ast.walk(tree(path_of(module))):
        if isinstance(node, ast.Import):
            yield from (inside(alias.name) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
            package = inside(node.module or "")
            children = (f"{package}.{alias.name}".removeprefix(".") for alias in node.names)
            yield from (child if child in modules() else package for child in children)


def is_ours(imported: str) -> bool:
    """Whether an imported name is `repo` or in it."""
    return imported.partition(".")[0] == "repo"


def inside(imported: str) -> str:
    """The name of a module without `repo` in front."""
    return imported.removeprefix("repo").removeprefix(".")


def strings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and text of every string that is not a docstring."""
    docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function that has a body: no overload, no abstract method."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body(node):
            yield node


def body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """The statements of a function, without docstring and `...`."""
    return [statement for statement in function.body if not is_constant(statement)]


def is_constant(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring or `...`."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement to the end of the last."""
    statements = body(function)
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def functions_longer_than(lines: int, path: Path) -> Iterable[str]:
    """Where the long functions of a file are."""
    return (f"{name(path)}:{each.lineno} {each.name}" for each in functions(path) if length(each) > lines)


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The parameters that can be given by position, without `self`."""
    parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [parameter for parameter in parameters if parameter not in ("self", "cls")]


def comments(path: Path) -> Iterator[str]:
    """Every comment of a file."""
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
