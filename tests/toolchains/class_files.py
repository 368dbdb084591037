"""A jar of empty classes from signature files: what a compiler checks calls against, as the SDK's android.jar is. Its methods throw null.

Class files are written directly (the Java Virtual Machine Specification, chapter 4): no compiler would take the sources, since a signature file leaves out
what is hidden (constructors, overrides, whole types).
"""

from __future__ import annotations

import ast
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from signatures import PRIMITIVES, Class, Field, Method, Parameter, Type, Variable

FLAGS = {
    "public": 0x1,
    "private": 0x2,
    "protected": 0x4,
    "static": 0x8,
    "final": 0x10,
    "synchronized": 0x20,
    "transient": 0x80,
    "native": 0x100,
    "abstract": 0x400,
}
FLAGS |= {"volatile": 0x40}
KINDS = {"class": 0x20, "interface": 0x600, "@interface": 0x2600, "enum": 0x4020}
VARIADIC, ENUM = 0x80, 0x4000
NULLNESS = {True: "Lorg/jetbrains/annotations/Nullable;", False: "Lorg/jetbrains/annotations/NotNull;"}
"""Read by the Kotlin compiler, which then treats a result as T? or T instead of either."""
JAVA_8 = 52
OBJECT = Type("java.lang.Object")
FLOATS = {"(0.0f/0.0f)": "nan", "(0.0/0.0)": "nan", "(1.0f/0.0f)": "inf", "(1.0/0.0)": "inf", "(-1.0f/0.0f)": "-inf", "(-1.0/0.0)": "-inf"}


def write_jar(classes: Mapping[str, Class], path: Path) -> None:
    inside: dict[str, list[Class]] = {}
    for owner in classes.values():
        inside.setdefault(owner.dotted.rpartition(".")[0], []).append(owner)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as jar:
        for owner in classes.values():
            jar.writestr(f"{owner.binary}.class", _ClassFile(owner, classes, inside.get(owner.dotted, [])).bytes())


class _ClassFile:
    """One class; `classes` (by dotted name) are those it may be related to, `inside` those declared in it."""

    def __init__(self, owner: Class, classes: Mapping[str, Class], inside: Iterable[Class]) -> None:
        self._owner, self._classes, self._inside = owner, classes, inside
        self._pool: dict[tuple[object, ...], int] = {}
        self._pool_bytes = bytearray()
        self._pool_next = 1
        self._inner: dict[str, None] = {}
        self._variables = self._in_scope()

    def bytes(self) -> bytes:
        owner = self._owner
        flags = KINDS[owner.kind] | self._flags(owner.modifiers & {"public", "final", "abstract"})
        if "protected" in owner.modifiers:
            flags |= FLAGS["public"]
        parent = self._parent()
        parents = [*owner.implements, *([Type("java.lang.annotation.Annotation")] if owner.kind == "@interface" else [])]
        interfaces = [self._class(self._binary(t)) for t in parents]
        body = struct.pack(">HH", self._class(owner.binary), self._class(self._binary(parent)) if parent else 0)
        body += struct.pack(f">H{len(interfaces)}H", len(interfaces), *interfaces)
        body += self._table(self._field(f) for f in owner.fields)
        body += self._table(self._method(m) for m in [*owner.methods, *self._enum_methods(), *self._inherited_abstract()])
        attributes = self._class_generics([parent, *parents]) if parent else []
        body += self._table([*attributes, *self._inner_classes()])
        head = struct.pack(">IHHH", 0xCAFEBABE, 0, JAVA_8, self._pool_next) + self._pool_bytes
        return bytes(head + struct.pack(">H", flags) + body)

    # Members

    def _field(self, declared: Field) -> bytes:
        descriptor = self._descriptor(declared.type)
        attributes = self._generics(self._signature(declared.type), descriptor)
        if declared.value is not None:
            attributes.append(self._attribute("ConstantValue", struct.pack(">H", self._constant(declared.type.name, declared.value))))
        if declared.nullable is not None:
            attributes.append(self._attribute("RuntimeInvisibleAnnotations", self._table([self._annotation(declared.nullable)])))
        flags = self._flags(declared.modifiers) | (ENUM if declared.enum_constant else 0)
        return struct.pack(">HHH", flags, self._text(declared.name), self._text(descriptor)) + self._table(attributes)

    def _method(self, method: Method) -> bytes:
        outer = self._variables
        self._variables = outer | {v.name: v for v in method.variables}
        try:
            parameters = [*self._outer_instance(method), *method.parameters]
            descriptor = f"({''.join(self._descriptor(p.type) for p in parameters)}){self._descriptor(method.result)}"
            signature = (
                f"{self._declared(method.variables)}({''.join(self._signature(p.type) for p in method.parameters)}){self._signature(method.result)}"
            )
            plain = f"({''.join(self._descriptor(p.type) for p in method.parameters)}){self._descriptor(method.result)}"
            attributes = self._generics(signature, plain)
            if method.throws:
                thrown = [struct.pack(">H", self._class(self._erased(t))) for t in method.throws]
                attributes.append(self._attribute("Exceptions", self._table(thrown)))
            flags = self._flags(method.modifiers)
            if self._owner.kind in ("interface", "@interface") and not method.modifiers & {"default", "static"}:
                flags |= FLAGS["abstract"]
            if any(p.variadic for p in parameters):
                flags |= VARIADIC
            if not flags & FLAGS["abstract"]:
                attributes.append(self._code(parameters, bool(flags & FLAGS["static"])))
            attributes += self._nullness(method, parameters)
        finally:
            self._variables = outer
        return struct.pack(">HHH", flags & ~FLAGS["native"], self._text(method.name), self._text(descriptor)) + self._table(attributes)

    def _generics(self, signature: str, descriptor: str) -> list[bytes]:
        return [self._attribute("Signature", struct.pack(">H", self._text(signature)))] if signature != descriptor else []

    def _code(self, parameters: list[Parameter], static: bool) -> bytes:
        """aconst_null, athrow."""
        slots = sum(2 if p.type.name in ("long", "double") and not p.type.dimensions else 1 for p in parameters) + (not static)
        return self._attribute("Code", struct.pack(">HHI", 1, slots, 2) + b"\x01\xbf" + struct.pack(">HH", 0, 0))

    def _nullness(self, method: Method, parameters: list[Parameter]) -> Iterator[bytes]:
        if method.nullable is not None:
            yield self._attribute("RuntimeInvisibleAnnotations", self._table([self._annotation(method.nullable)]))
        if any(p.nullable is not None for p in parameters):
            each = b"".join(self._table([] if p.nullable is None else [self._annotation(p.nullable)]) for p in parameters)
            yield self._attribute("RuntimeInvisibleParameterAnnotations", struct.pack(">B", len(parameters)) + each)

    def _outer_instance(self, method: Method) -> list[Parameter]:
        """The hidden first parameter of an inner class's constructor."""
        inner = "." in self._owner.name and self._owner.kind == "class" and "static" not in self._owner.modifiers
        return [Parameter(Type(self._owner.dotted.rpartition(".")[0]))] if inner and method.name == "<init>" else []

    def _enum_methods(self) -> list[Method]:
        """What every enum has, and some files leave out."""
        if self._owner.kind != "enum":
            return []
        modifiers, own = frozenset({"public", "static"}), self._owner.dotted
        values = Method("values", modifiers, (), Type(own, (), 1), (), nullable=False)
        value_of = Method("valueOf", modifiers, (), Type(own), (Parameter(Type("java.lang.String")),), nullable=False)
        return [method for method in (values, value_of) if all(m.name != method.name for m in self._owner.methods)]

    def _inherited_abstract(self) -> Iterator[Method]:
        """What a concrete class implements without its file saying so: overrides that add nothing are left out there."""
        if self._owner.kind != "class" or "abstract" in self._owner.modifiers:
            return
        implemented: set[tuple[object, ...]] = set()
        for ancestor in self._ancestors(self._owner):
            interface = ancestor.kind == "interface"
            for method in ancestor.methods:
                key = (method.name, tuple(p.type.name for p in method.parameters))
                abstract = "abstract" in method.modifiers or (interface and not method.modifiers & {"default", "static"})
                if ancestor is not self._owner and abstract and key not in implemented and not ancestor.variables:
                    yield Method(
                        method.name,
                        method.modifiers - {"abstract"},
                        method.variables,
                        method.result,
                        method.parameters,
                        method.throws,
                        method.nullable,
                    )
                implemented.add(key)

    def _ancestors(self, owner: Class) -> Iterator[Class]:
        """The class, its parents, then their interfaces: nearest first."""
        line = [owner]
        while (parent := line[-1].extends) and parent.name in self._classes:
            line.append(self._classes[parent.name])
        yield from line
        waiting = [t.name for ancestor in line for t in ancestor.implements]
        while waiting:
            if found := self._classes.get(waiting.pop(0)):
                yield found
                waiting += [t.name for t in found.implements]

    # Types

    def _in_scope(self) -> dict[str, Variable]:
        names = self._owner.name.split(".")
        owners = [self._classes.get(f"{self._owner.package}.{'.'.join(names[:n])}") for n in range(1, len(names))]
        return {v.name: v for owner in [*owners, self._owner] if owner for v in owner.variables}

    def _parent(self) -> Type | None:
        if self._owner.dotted == OBJECT.name:
            return None
        return Type("java.lang.Enum", (Type(self._owner.dotted),)) if self._owner.kind == "enum" else self._owner.extends or OBJECT

    def _binary(self, of: Type) -> str:
        """Such as java/util/Map$Entry: what starts with a capital letter is a class, what follows it is inside of that."""
        name = of.name if "." in of.name else f"java.lang.{of.name}"
        parts = name.split(".")
        first = next((i for i, part in enumerate(parts) if part[0].isupper()), len(parts) - 1)
        binary = "/".join([*parts[:first], "$".join(parts[first:])])
        for end in range(first + 2, len(parts) + 1):
            self._inner["/".join([*parts[:first], "$".join(parts[first:end])])] = None
        return binary

    def _erased(self, of: Type) -> str:
        if variable := self._variables.get(of.name):
            return self._erased(variable.bounds[0] if variable.bounds else OBJECT)
        return self._binary(of)

    def _descriptor(self, of: Type) -> str:
        plain = PRIMITIVES.get(of.name) or f"L{self._erased(of)};"
        return "[" * of.dimensions + plain

    def _signature(self, of: Type) -> str:
        if of.wildcard:
            return "*" if of.wildcard == "*" else of.wildcard + self._signature(Type(of.name, of.arguments, of.dimensions))
        if of.name in PRIMITIVES:
            plain = PRIMITIVES[of.name]
        elif of.name in self._variables:
            plain = f"T{of.name};"
        else:
            arguments = "".join(map(self._signature, of.arguments))
            plain = f"L{self._binary(of)}{f'<{arguments}>' if arguments else ''};"
        return "[" * of.dimensions + plain

    def _declared(self, variables: Iterable[Variable]) -> str:
        found = [
            f"{v.name}{''.join(':' + (':' if self._is_interface(b) and not i else '') + self._signature(b) for i, b in enumerate(v.bounds or (OBJECT,)))}"
            for v in variables
        ]
        return f"<{''.join(found)}>" if found else ""

    def _is_interface(self, bound: Type) -> bool:
        found = self._classes.get(bound.name)
        return found is not None and found.kind == "interface"

    def _class_generics(self, parents: list[Type]) -> list[bytes]:
        signature = self._declared(self._owner.variables) + "".join(map(self._signature, parents))
        return self._generics(signature, "".join(map(self._descriptor, parents)))

    # The constant pool and attributes

    def _entry(self, tag: int, payload: bytes, *, wide: bool = False) -> int:
        key = (tag, payload)
        if key not in self._pool:
            self._pool[key] = self._pool_next
            self._pool_next += 2 if wide else 1
            self._pool_bytes += struct.pack(">B", tag) + payload
        return self._pool[key]

    def _text(self, text: str) -> int:
        raw = text.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
        return self._entry(1, struct.pack(">H", len(raw)) + raw)

    def _class(self, binary: str) -> int:
        return self._entry(7, struct.pack(">H", self._text(binary)))

    def _constant(self, of: str, value: str) -> int:
        if of in ("String", "java.lang.String"):
            return self._entry(8, struct.pack(">H", self._text(ast.literal_eval(value))))
        if of == "boolean":
            return self._entry(3, struct.pack(">i", value == "true"))
        if of == "float":
            return self._entry(4, struct.pack(">f", float(FLOATS.get(value, value.rstrip("f")))))
        if of == "double":
            return self._entry(6, struct.pack(">d", float(FLOATS.get(value, value))), wide=True)
        if of == "long":
            return self._entry(5, struct.pack(">q", int(value.rstrip("L"))), wide=True)
        return self._entry(3, struct.pack(">i", int(value)))

    def _annotation(self, nullable: bool) -> bytes:
        return struct.pack(">HH", self._text(NULLNESS[nullable]), 0)

    def _attribute(self, name: str, payload: bytes) -> bytes:
        return struct.pack(">HI", self._text(name), len(payload)) + payload

    def _inner_classes(self) -> list[bytes]:
        for related in (self._owner, *self._inside):
            self._binary(Type(related.dotted))
        entries = []
        for binary in self._inner:
            outer, _, name = binary.rpartition("$")
            known = self._classes.get(binary.replace("/", ".").replace("$", "."))
            flags = (KINDS[known.kind] & ~0x20 | self._flags(known.modifiers)) if known else FLAGS["public"] | FLAGS["static"]
            entries.append(struct.pack(">HHHH", self._class(binary), self._class(outer), self._text(name), flags))
        return [self._attribute("InnerClasses", self._table(entries))] if entries else []

    def _flags(self, modifiers: Iterable[str]) -> int:
        return sum(FLAGS.get(word, 0) for word in modifiers)

    @staticmethod
    def _table(items: Iterable[bytes]) -> bytes:
        items = list(items)
        return struct.pack(">H", len(items)) + b"".join(items)
