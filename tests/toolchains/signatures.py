"""Android's API signature files (`api/current.txt`, format 2.0, Apache-2.0): read into plain values.

One line declares one thing; types are written in full, except that `java.lang.` may be left out. What is read is what a compiler needs: names, types with
their generics, modifiers, constants, checked exceptions and `@NonNull`/`@Nullable`; all other annotations are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

PRIMITIVES = {"void": "V", "boolean": "Z", "byte": "B", "char": "C", "short": "S", "int": "I", "long": "J", "float": "F", "double": "D"}
MODIFIERS = {
    "public",
    "protected",
    "private",
    "static",
    "final",
    "abstract",
    "default",
    "synchronized",
    "native",
    "transient",
    "volatile",
    "strictfp",
    "sealed",
}
MODIFIERS |= {"deprecated"}

_TEXT = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
_ANNOTATION = re.compile(rf"({_TEXT})|@(?!interface\b)([\w.]+)(\((?:[^()\"']|{_TEXT}|\((?:[^()\"']|{_TEXT})*\))*\))? *")
_HEAD = re.compile(r"(?P<kind>class|interface|enum|@interface) (?P<name>[\w.]+)(?P<rest>.*)")
_NULLNESS = {"NonNull": "\x01", "androidx.annotation.NonNull": "\x01", "Nullable": "\x02", "androidx.annotation.Nullable": "\x02"}


@dataclass(frozen=True)
class Type:
    """`name` as it stands in the file (dotted, or a type variable); "?" with `wildcard` "+" (extends), "-" (super) or "*"."""

    name: str
    arguments: tuple[Type, ...] = ()
    dimensions: int = 0
    wildcard: str = ""


@dataclass(frozen=True)
class Variable:
    """A type variable and its bounds."""

    name: str
    bounds: tuple[Type, ...] = ()


@dataclass(frozen=True)
class Parameter:
    type: Type
    nullable: bool | None = None
    variadic: bool = False


@dataclass(frozen=True)
class Method:
    """`name` "<init>": a constructor. `nullable`: what the result may be; None where the file says nothing."""

    name: str
    modifiers: frozenset[str]
    variables: tuple[Variable, ...]
    result: Type
    parameters: tuple[Parameter, ...]
    throws: tuple[Type, ...] = ()
    nullable: bool | None = None


@dataclass(frozen=True)
class Field:
    """`value`: the constant as it is written, or None."""

    name: str
    modifiers: frozenset[str]
    type: Type
    value: str | None = None
    nullable: bool | None = None
    enum_constant: bool = False


@dataclass
class Class:
    """`kind`: class, interface, enum, @interface. `name`: without the package, inner classes as Outer.Inner."""

    package: str
    name: str
    kind: str
    modifiers: frozenset[str]
    variables: tuple[Variable, ...] = ()
    extends: Type | None = None
    implements: tuple[Type, ...] = ()
    methods: list[Method] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)

    @property
    def dotted(self) -> str:
        return f"{self.package}.{self.name}"

    @property
    def binary(self) -> str:
        """Such as android/media/ImageReader$Builder."""
        return f"{self.package.replace('.', '/')}/{self.name.replace('.', '$')}"


def read(text: str) -> dict[str, Class]:
    """Dotted name -> class. Raises ValueError for a line that is not understood."""
    classes: dict[str, Class] = {}
    package, current = "", None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("//") or line == "}":
            continue
        try:
            if line.startswith("package "):
                package = _plain(line).split()[1]
            elif line.endswith(("{", "{}")):
                current = _class(package, _plain(line.rstrip("{} ")))
                classes[current.dotted] = current
            elif current is not None:
                _member(current, line)
            else:
                raise ValueError("outside any class")
        except (ValueError, IndexError, AttributeError) as error:
            raise ValueError(f"line {number}: {line[:120]!r}: not a declaration of a signature file ({error})") from error
    return classes


def _plain(line: str) -> str:
    """Without annotations; those of nullness become a control character before what they annotate."""
    return _ANNOTATION.sub(lambda m: m[1] or _NULLNESS.get(m[2], ""), line)


def _nullness(text: str) -> tuple[bool | None, str]:
    nullable = True if "\x02" in text else False if "\x01" in text else None
    return nullable, text.replace("\x01", "").replace("\x02", "")


def _class(package: str, line: str) -> Class:
    head = _HEAD.search(line)
    if head is None:
        raise ValueError("no kind of class")
    variables, rest = _variables(head["rest"].strip())
    extends, implements = re.fullmatch(r"(?:extends (.*?))? ?(?:implements (.*))?", rest).groups()  # type: ignore[union-attr]
    parents = [_type(part) for part in _split(extends or "", " ")]
    interfaces = [_type(part) for part in _split(implements or "", " ")]
    if head["kind"] != "class":
        parents, interfaces = [], parents + interfaces
    modifiers = frozenset(line[: head.start()].replace("\x01", "").split())
    return Class(package, head["name"], head["kind"], modifiers, variables, parents[0] if parents else None, tuple(interfaces))


def _member(owner: Class, line: str) -> None:
    kind, _, declaration = re.sub(r"; // [^\"]*$", ";", line).rstrip(";").partition(" ")
    if kind in ("method", "ctor"):
        owner.methods.append(_method(_plain(declaration), kind == "ctor"))
    elif kind in ("field", "enum_constant"):
        owner.fields.append(_field(declaration, kind == "enum_constant"))
    elif kind != "property":
        raise ValueError(f"got {kind!r}")


def _method(declaration: str, constructor: bool) -> Method:
    head, arguments, tail = _parenthesised(declaration)
    nullable, head = _nullness(head)
    modifiers, rest = _modifiers(head)
    variables, rest = _variables(rest)
    result, _, name = ("void", "", "<init>") if constructor else rest.rpartition(" ")
    throws = re.match(r" *throws (.*?)(?: default .*)?$", tail)
    return Method(
        name,
        modifiers,
        variables,
        _type(result),
        tuple(_parameter(a) for a in _split(arguments, ",")),
        tuple(_type(t) for t in _split(throws[1] if throws else "", ",")),
        nullable,
    )


def _parameter(text: str) -> Parameter:
    nullable, text = _nullness(text)
    named = re.fullmatch(r"(.*[\w>\].]) (\w+)", text.strip())
    text = (named[1] if named and not text.strip().endswith(">") else text).strip()
    return Parameter(_type(text.replace("...", "[]")), nullable, text.endswith("..."))


def _field(declaration: str, enum_constant: bool) -> Field:
    left, equals, value = declaration.partition(" = ")
    nullable, left = _nullness(_plain(left))
    modifiers, rest = _modifiers(left)
    of_type, _, name = rest.rpartition(" ")
    return Field(name, modifiers, _type(of_type), value if equals else None, nullable, enum_constant)


def _modifiers(text: str) -> tuple[frozenset[str], str]:
    words = text.split()
    count = next((i for i, word in enumerate(words) if word not in MODIFIERS), len(words))
    return frozenset(words[:count]), " ".join(words[count:])


def _variables(text: str) -> tuple[tuple[Variable, ...], str]:
    """`<T extends A & B, U> rest` -> the variables, and the rest."""
    if not text.startswith("<"):
        return (), text
    end = _closing(text, 0)
    found = []
    for part in _split(text[1:end], ","):
        name, _, bounds = part.partition(" extends ")
        found.append(Variable(name.strip(), tuple(_type(b) for b in _split(bounds, "&"))))
    return tuple(found), text[end + 1 :].strip()


@cache
def _type(text: str) -> Type:
    text = text.replace("\x01", "").replace("\x02", "").strip()
    if text.startswith("?"):
        if text == "?":
            return Type("?", wildcard="*")
        word, _, bound = text[1:].strip().partition(" ")
        inner = _type(bound)
        return Type(inner.name, inner.arguments, inner.dimensions, "+" if word == "extends" else "-")
    dimensions = text.count("[]", text.rfind(">") + 1)
    text = text[: len(text) - 2 * dimensions] if dimensions else text
    if "<" not in text:
        if not re.fullmatch(r"[\w.$]+", text):
            raise ValueError(f"{text!r} is no type")
        return Type(text, (), dimensions)
    start = text.index("<")
    end = _closing(text, start)
    arguments = tuple(_type(part) for part in _split(text[start + 1 : end], ","))
    return Type(text[:start] + text[end + 1 :], arguments if end == len(text) - 1 else (), dimensions)


def _parenthesised(text: str) -> tuple[str, str, str]:
    start = text.index("(")
    end = _closing(text, start)
    return text[:start].strip(), text[start + 1 : end], text[end + 1 :]


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError("a bracket is not closed")


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts between separators that stand outside all brackets, without the empty ones."""
    depth, part = 0, ""
    for letter in text + separator:
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(letter, 0)
        if letter == separator and depth == 0:
            if part.strip():
                yield part.strip()
            part = ""
        else:
            part += letter
