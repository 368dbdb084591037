"""Android's signature files read, and the jar of empty classes that comes of them, as the JDK's own tools see it."""

from __future__ import annotations

import subprocess

import api_levels
import class_files
import pytest
import signatures
from signatures import Parameter, Type

TEXT = """// Signature format: 2.0
package java.lang {
  public class Object {
    ctor public Object();
  }
}

package a.b {

  public abstract class Shelf<T extends java.lang.Comparable<T>> implements java.lang.Iterable<T> a.b.Thing {
    ctor protected Shelf(@IntRange(from=0, to=a.b.Thing.MOST) int, String...);
    method @NonNull public <U extends a.b.Thing & java.lang.Runnable> java.util.Map<java.lang.String,? super U[]> sort(@Nullable U, long[][]) throws a.b.Full;
    method @Deprecated protected abstract int size(@Size("a,b)") int count);
    field @Nullable protected a.b.Shelf.Corner corner;
    field public static final String NAME = "a; // \\"b\\" (c";
    field public static final int MOST = 2147483647; // 0x7fffffff
    field public static final long FAR = -5L; // 0xfffffffffffffffbL
    field public static final float NONE = (0.0f/0.0f);
    field public static final char LETTER = 115; // 0x0073 's'
    field public static final boolean YES = true;
  }

  public final class Shelf.Corner {
    ctor public Shelf.Corner(double);
  }

  public class Full extends java.lang.Exception {
  }

  public enum Kind {
    enum_constant public static final a.b.Kind SMALL;
  }

  @java.lang.annotation.Retention(java.lang.annotation.RetentionPolicy.CLASS) public @interface Mark {
    method public abstract int value() default 3;
  }

  public interface Thing extends java.lang.Runnable java.io.Closeable {
    method public default void a();
    method public static void b();
    method public void c();
    field public static final int MOST = 7; // 0x7
  }

}
"""


@pytest.fixture(scope="module")
def classes():
    return signatures.read(TEXT)


def test_declarations_are_read(classes):
    shelf = classes["a.b.Shelf"]
    assert [v.name for v in shelf.variables] == ["T"] and shelf.variables[0].bounds == (Type("java.lang.Comparable", (Type("T"),)),)
    assert [t.name for t in shelf.implements] == ["java.lang.Iterable", "a.b.Thing"]
    constructor, sort, size = shelf.methods
    assert constructor.parameters == (Parameter(Type("int")), Parameter(Type("String", dimensions=1), variadic=True))
    assert sort.result == Type("java.util.Map", (Type("java.lang.String"), Type("U", dimensions=1, wildcard="-")))
    assert (sort.nullable, [p.nullable for p in sort.parameters]) == (False, [True, None])
    assert [t.name for t in sort.throws] == ["a.b.Full"]
    assert size.parameters == (Parameter(Type("int")),) and "abstract" in size.modifiers
    assert {f.name: f.value for f in shelf.fields}["NAME"] == '"a; // \\"b\\" (c"'
    assert classes["a.b.Shelf.Corner"].binary == "a/b/Shelf$Corner"
    assert [t.name for t in classes["a.b.Thing"].implements] == ["java.lang.Runnable", "java.io.Closeable"]


@pytest.mark.parametrize("line", ["method public int", "ctor public X(int", "widget public int a;", "method public java.util.Map<int a();"])
def test_a_line_that_is_none_is_named(line):
    with pytest.raises(ValueError, match=r"line 3: .*not a declaration"):
        signatures.read(f"package a {{\n  public class X {{\n    {line}\n  }}\n}}\n")


def test_the_jar_says_the_same_to_the_jdk(classes, kotlin, tmp_path):
    jar = tmp_path / "stubs.jar"
    class_files.write_jar(classes, jar)
    command = [kotlin.java_home / "bin/javap", "-p", "-constants", "-cp", jar, "a.b.Shelf", "a.b.Shelf$Corner", "a.b.Kind", "a.b.Mark", "a.b.Thing"]
    said = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.strip() for line in said} >= {
        "public abstract class a.b.Shelf<T extends java.lang.Comparable<T>> implements java.lang.Iterable<T>, a.b.Thing {",
        "protected a.b.Shelf(int, java.lang.String...);",
        "public <U extends a.b.Thing & java.lang.Runnable> java.util.Map<java.lang.String, ? super U[]> sort(U, long[][]) throws a.b.Full;",
        "protected abstract int size(int);",
        'public static final java.lang.String NAME = "a; // \\"b\\" (c";',
        "public static final int MOST = 2147483647;",
        "public static final long FAR = -5l;",
        "public static final float NONE = NaNf;",
        "public static final char LETTER = 's';",
        "public static final boolean YES = true;",
        "public a.b.Shelf$Corner(a.b.Shelf, double);",
        "public class a.b.Kind extends java.lang.Enum<a.b.Kind> {",
        "public interface a.b.Mark extends java.lang.annotation.Annotation {",
        "public default void a();",
        "public static void b();",
        "public abstract void c();",
    }


USE = """
class Bookcase extends a.b.Shelf<String> {
    Bookcase() { super(1, "a", "b"); }
    protected int size(int count) { return a.b.Shelf.MOST + new Corner(1.0).hashCode() + a.b.Thing.MOST; }
    public void c() { b.run(); }
    public void run() {}
    public void close() {}
    public java.util.Iterator<String> iterator() { return null; }
    private final a.b.Thing b = null;
    static String f(a.b.Kind kind) { switch (kind) { case SMALL: return NAME; default: return null; } }
}
"""


def test_a_compiler_takes_the_jar(classes, kotlin, tmp_path):
    jar, source = tmp_path / "stubs.jar", tmp_path / "Bookcase.java"
    class_files.write_jar({name: c for name, c in classes.items() if not name.startswith("java.")}, jar)
    source.write_text(USE)
    result = kotlin.javac("-cp", jar, "-d", tmp_path, source)
    assert result.returncode == 0, result.stdout
    source.write_text(USE.replace('"b"', "3"))
    assert "cannot be converted to String" in kotlin.javac("-cp", jar, "-d", tmp_path, source).stdout


DECLARATIONS = """
declare module a {
	export module b {
		export class Shelf<T>  extends a.b.Board<T> implements a.b.Thing {
			public static class: java.lang.Class<any>;
			public size(): number;
			public constructor(param0: number, param1: string);
			public name: string;
%s		}
		export class Board extends java.lang.Object {
			public cut(param0: number): void;
		}
	}
}
"""


def test_the_release_of_a_member_is_the_first_that_declares_it(tmp_path):
    for level in range(api_levels.LOWEST, api_levels.HIGHEST + 1):
        more = "\t\t\tpublic cut(param0: number): void;\n\t\t\tpublic lift(param0: a.b.Board): void;\n" if level >= 29 else ""
        (tmp_path / f"android-platform-{level}.d.ts").write_text(DECLARATIONS % more)
    read = api_levels.read(tmp_path)
    read.save(tmp_path / "levels.json")
    levels = api_levels.Levels.load(tmp_path / "levels.json")
    assert levels == read
    assert levels.of("a.b.Shelf") == 26
    assert levels.of("a.b.Shelf", "size/0") == levels.of("a.b.Shelf", "<init>/2") == levels.of("a.b.Shelf", "name") == 26
    assert levels.of("a.b.Shelf", "lift/1") == 29
    assert levels.of("a.b.Shelf", "cut/1") == 26, "an override of what was there before is nothing new"
    assert levels.of("a.b.Shelf", "lift/2") == levels.of("android.a.New") == 33
    assert levels.of("kotlin.Unit") is None
