"""Every family of PTX instructions against NumPy, or against Python's integers."""

import math

import numpy as np
import pytest

from convlab.emulator import EmulationError

RNG = np.random.default_rng(5)
COUNT = 200
CORNERS = [0, 1, 2, 31, 32, 33, 63, 64, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
TYPES = {"u16": np.uint16, "s16": np.int16, "u32": np.uint32, "s32": np.int32, "u64": np.uint64, "s64": np.int64}
TYPES |= {"f16": np.float16, "f32": np.float32, "f64": np.float64, "b32": np.uint32, "b64": np.uint64, "b16": np.uint16}


def integers(type_):
    """Random integers of a type, with its corners among them."""
    bits = 8 * np.dtype(TYPES[type_]).itemsize
    values = [n % 2**bits for n in CORNERS] + RNG.integers(0, 2**64, COUNT - len(CORNERS), np.uint64).tolist()
    return RNG.permutation(np.array([v % 2**bits for v in values], f"u{bits // 8}").view(TYPES[type_]))


def floats(type_):
    """Random numbers of a type, with zeros, infinities, subnormals and a NaN among them."""
    info = np.finfo(TYPES[type_])
    special = [0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, info.tiny / 4, info.max, info.eps]
    scale = 8 if type_ == "f16" else 100
    return np.concatenate([special, RNG.normal(0, scale, COUNT - len(special))]).astype(TYPES[type_])


@pytest.fixture
def evaluate(device):
    """evaluate(code, result type, **inputs): the instructions over arrays; a is %a in them, the result %y."""

    def run(code, result, **inputs):
        types = {name: next(t for t, d in TYPES.items() if d == v.dtype.type) for name, v in inputs.items()}
        count = len(next(iter(inputs.values())))
        lines = [".version 8.0", ".target sm_80", ".address_size 64"]
        names = [*inputs, "y"]
        lines.append(f".visible .entry k({', '.join(f'.param .u64 p_{name}' for name in names)}) {{")
        lines += [".reg .pred %p<4>; .reg .b64 %at<9>; .reg .b32 %t; .reg .b32 %w<4>; .reg .b64 %d<4>;"]
        lines += [f".reg .{'b' + t[1:]} %{name};" for name, t in [*types.items(), ("y", result)]]
        lines += ["mov.u32 %t, %tid.x;"]
        for i, (name, t) in enumerate([*types.items(), ("y", result)]):
            lines.append(f"ld.param.u64 %at{i}, [p_{name}];")
            lines.append(f"mad.wide.u32 %at{i}, %t, {np.dtype(TYPES[t]).itemsize}, %at{i};")
        lines += [f"ld.global.{t} %{name}, [%at{i}];" for i, (name, t) in enumerate(types.items())]
        lines += [code + ";", f"st.global.{result} [%at{len(types)}], %y;", "ret;", "}"]
        y = np.zeros(count, TYPES[result])
        device.launch("\n".join(lines), 1, count, *inputs.values(), y)
        return y

    return run


def wrapped(values, type_):
    bits = 8 * np.dtype(TYPES[type_]).itemsize
    return np.array([int(v) % 2**bits for v in values], f"u{bits // 8}").view(TYPES[type_])


def quotient(x, y):
    return (abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1)


INTEGERS = {
    "add": lambda x, y, z: x + y,
    "sub": lambda x, y, z: x - y,
    "mul.lo": lambda x, y, z: x * y,
    "mad.lo": lambda x, y, z: x * y + z,
    "div": lambda x, y, z: quotient(x, y),
    "rem": lambda x, y, z: x - y * quotient(x, y),
    "min": lambda x, y, z: min(x, y),
    "max": lambda x, y, z: max(x, y),
}


@pytest.mark.parametrize("type_", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", [*INTEGERS, "mul.hi"])
def test_integer_arithmetic(evaluate, name, type_):
    a, b, c = (integers(type_) for _ in range(3))
    if name in ("div", "rem"):
        b = np.where(b == 0, b.dtype.type(7), b)
    bits = 8 * a.dtype.itemsize
    exact = INTEGERS.get(name, lambda x, y, z: x * y >> bits)
    operands = "%a, %b, %c" if name.startswith("mad") else "%a, %b"
    expected = [exact(int(x), int(y), int(z)) for x, y, z in zip(a, b, c, strict=True)]
    got = evaluate(f"{name}.{type_} %y, {operands}", type_, a=a, b=b, c=c)
    np.testing.assert_array_equal(got, wrapped(expected, type_))


@pytest.mark.parametrize("type_", ["u32", "s32"])
def test_wide_products(evaluate, type_):
    a, b, wide = integers(type_), integers(type_), type_[0] + "64"
    c = integers(wide)
    products = [int(x) * int(y) for x, y in zip(a, b, strict=True)]
    got = evaluate(f"mul.wide.{type_} %y, %a, %b", wide, a=a, b=b)
    np.testing.assert_array_equal(got, wrapped(products, wide))
    got = evaluate(f"mad.wide.{type_} %y, %a, %b, %c", wide, a=a, b=b, c=c)
    np.testing.assert_array_equal(got, wrapped([p + int(z) for p, z in zip(products, c, strict=True)], wide))


def test_division_by_zero_is_a_fault(evaluate):
    with pytest.raises(EmulationError, match="division by zero"):
        evaluate("div.s32 %y, %a, 0", "s32", a=integers("s32"))


@pytest.mark.parametrize("name", ["add", "sub"])
def test_carries(evaluate, name):
    a, b = integers("u64"), integers("u64")
    code = (
        "mov.b64 {%w0, %w1}, %a; mov.b64 {%w2, %w3}, %b; "
        f"{name}.cc.u32 %w0, %w0, %w2; {name}c.u32 %w1, %w1, %w3; mov.b64 %y, {{%w0, %w1}}"
    )
    expected = a + b if name == "add" else a - b
    np.testing.assert_array_equal(evaluate(code, "u64", a=a, b=b), expected)


def test_carries_of_products(evaluate):
    """(a · b + c) of 32 bits times 32 bits and 64 bits more."""
    a, b, c = integers("u32"), integers("u32"), integers("u64")
    code = (
        "mov.b64 {%w2, %w3}, %c; mad.lo.cc.u32 %w0, %a, %b, %w2; madc.hi.u32 %w1, %a, %b, %w3; mov.b64 %y, {%w0, %w1}"
    )
    expected = a.astype(np.uint64) * b + c
    np.testing.assert_array_equal(evaluate(code, "u64", a=a, b=b, c=c), expected)


FLOATS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.fmin, "max": np.fmax}


@pytest.mark.parametrize("type_", ["f16", "f32", "f64"])
@pytest.mark.parametrize("name", FLOATS)
def test_float_arithmetic(evaluate, name, type_):
    a, b = floats(type_), RNG.permutation(floats(type_))
    with np.errstate(all="ignore"):
        expected = FLOATS[name](a, b)
    np.testing.assert_array_equal(evaluate(f"{name}.{type_} %y, %a, %b", type_, a=a, b=b), expected)


def test_fused_multiply_add_rounds_once(evaluate):
    a = np.array([1 + 2**-12, 1 + 2**-23, 3], np.float32)
    c = np.array([-1, -1, 2**-60], np.float32)
    expected = [2**-11 + 2**-24, 2**-22 + 2**-46, 9]
    assert evaluate("fma.rn.f32 %y, %a, %a, %c", "f32", a=a, c=c).tolist() == np.float32(expected).tolist()
    a = np.array([1 + 2**-30])
    assert evaluate("fma.rn.f64 %y, %a, %a, 0dBFF0000000000000", "f64", a=a)[0] == 2**-29 + 2**-60


@pytest.mark.parametrize(("direction", "towards"), [("rm", math.floor), ("rp", math.ceil), ("rz", math.trunc)])
def test_directed_rounding(evaluate, direction, towards):
    """Sums with 2^23 are rounded to integers."""
    a = RNG.uniform(-9, 9, COUNT).astype(np.float32)
    big = np.full(COUNT, 2.0**23 + 100, np.float32)
    expected = [2**23 + 100 + towards(x + 0.0) if direction != "rz" else math.trunc(2**23 + 100 + float(x)) for x in a]
    assert evaluate(f"add.{direction}.f32 %y, %a, %b", "f32", a=a, b=big).tolist() == expected
    assert evaluate(f"fma.{direction}.f32 %y, %a, 0f3F800000, %b", "f32", a=a, b=big).tolist() == expected


def test_saturation(evaluate):
    a = np.array([-1, 0.25, 2, np.nan], np.float32)
    assert evaluate("add.sat.f32 %y, %a, %a", "f32", a=a).tolist() == [0, 0.5, 1, 0]
    assert evaluate("cvt.sat.f32.f32 %y, %a", "f32", a=a).tolist() == [0, 0.25, 1, 0]


UNARY = {
    "neg": np.negative, "abs": np.abs, "sqrt.rn": np.sqrt, "rcp.rn": lambda x: 1 / x, "rsqrt.approx": lambda x: x**-0.5,
    "ex2.approx": np.exp2, "lg2.approx": np.log2, "sin.approx": np.sin, "cos.approx": np.cos, "tanh.approx": np.tanh,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_float_functions(evaluate, name):
    a = RNG.uniform(0.1, 9, COUNT).astype(np.float32)
    expected = UNARY[name](a.astype(np.float64))
    np.testing.assert_allclose(evaluate(f"{name}.f32 %y, %a", "f32", a=a), expected, rtol=2e-7, atol=1e-7)


def test_signs_and_kinds(evaluate):
    a, b = floats("f32"), RNG.permutation(floats("f32"))
    np.testing.assert_array_equal(evaluate("copysign.f32 %y, %b, %a", "f32", a=a, b=b), np.copysign(a, b))
    for kind, test in (("finite", np.isfinite), ("infinite", np.isinf), ("notanumber", np.isnan)):
        got = evaluate(f"testp.{kind}.f32 %p0, %a; selp.u32 %y, 1, 0, %p0", "u32", a=a)
        np.testing.assert_array_equal(got, test(a))


def test_pairs_of_float16(evaluate):
    a, b, c = (RNG.normal(0, 4, 2 * COUNT).astype(np.float16) for _ in range(3))
    words = {name: x.view(np.uint32) for name, x in (("a", a), ("b", b), ("c", c))}
    got = evaluate("fma.rn.f16x2 %y, %a, %b, %c", "u32", **words).view(np.float16)
    np.testing.assert_array_equal(got, (a.astype(float) * b + c).astype(np.float16))
    got = evaluate("add.f16x2 %y, %a, %b", "u32", **words).view(np.float16)
    np.testing.assert_array_equal(got, a + b)


LOGIC = {"and": lambda x, y: x & y, "or": lambda x, y: x | y, "xor": lambda x, y: x ^ y}


@pytest.mark.parametrize("type_", ["b16", "b32", "b64"])
def test_logic(evaluate, type_):
    a, b = integers(type_), integers(type_)
    for name, function in LOGIC.items():
        np.testing.assert_array_equal(evaluate(f"{name}.{type_} %y, %a, %b", type_, a=a, b=b), function(a, b))
    np.testing.assert_array_equal(evaluate(f"not.{type_} %y, %a", type_, a=a), ~a)


@pytest.mark.parametrize("table", [0x96, 0xE8, 0xCA, 0x01])
def test_table_of_three(evaluate, table):
    a, b, c = (integers("b32") for _ in range(3))

    def look_up(x, y, z):
        rows = ((x >> i & 1) * 4 + (y >> i & 1) * 2 + (z >> i & 1) for i in range(32))
        return sum((table >> row & 1) << i for i, row in enumerate(rows))

    expected = [look_up(*map(int, xyz)) for xyz in zip(a, b, c, strict=True)]
    assert evaluate(f"lop3.b32 %y, %a, %b, %c, {table:#x}", "b32", a=a, b=b, c=c).tolist() == expected


@pytest.mark.parametrize("type_", ["b32", "b64", "s32", "s64", "u64"])
def test_shifts(evaluate, type_):
    a, by = integers(type_), RNG.integers(0, 80, COUNT).astype(np.uint32)
    bits = 8 * a.dtype.itemsize
    if type_.startswith("b"):
        expected = [int(x) << int(n) if n < bits else 0 for x, n in zip(a, by, strict=True)]
        np.testing.assert_array_equal(evaluate(f"shl.{type_} %y, %a, %b", type_, a=a, b=by), wrapped(expected, type_))
    else:
        expected = [int(x) >> int(n) for x, n in zip(a, by, strict=True)]
        np.testing.assert_array_equal(evaluate(f"shr.{type_} %y, %a, %b", type_, a=a, b=by), wrapped(expected, type_))
        np.testing.assert_array_equal(evaluate(f"shr.{type_} %y, %a, 5", type_, a=a, b=by), a >> 5)


@pytest.mark.parametrize("mode", ["l.wrap", "l.clamp", "r.wrap", "r.clamp"])
def test_funnel_shifts(evaluate, mode):
    a, b, by = integers("b32"), integers("b32"), RNG.integers(0, 50, COUNT).astype(np.uint32)

    def shifted(low, high, n):
        n = n % 32 if mode.endswith("wrap") else min(n, 32)
        both = high << 32 | low
        return (both << n >> 32 if mode.startswith("l") else both >> n) % 2**32

    expected = [shifted(*map(int, xyz)) for xyz in zip(a, b, by, strict=True)]
    assert evaluate(f"shf.{mode}.b32 %y, %a, %b, %c", "b32", a=a, b=b, c=by).tolist() == expected


@pytest.mark.parametrize("type_", ["u32", "s32", "u64", "s64"])
def test_fields(evaluate, type_):
    a, b = integers(type_), integers(type_)
    bits, signed = 8 * a.dtype.itemsize, type_.startswith("s")
    at, length = (RNG.integers(0, bits, COUNT).astype(np.uint32) for _ in range(2))

    def field(x, start, n):
        """Bit by bit, as the ISA says it."""
        x %= 2**bits
        last = x >> min(start + n - 1, bits - 1) & 1 if signed and n else 0
        return sum((x >> start + i & 1 if i < n and start + i < bits else last) << i for i in range(bits))

    def filled(x, into, start, n):
        mask = ((1 << n) - 1) << start
        return into & ~mask | x << start & mask

    cases = [[int(v) for v in row] for row in zip(a, b, at, length, strict=True)]
    got = evaluate(f"bfe.{type_} %y, %a, %c, %d", type_, a=a, c=at, d=length)
    np.testing.assert_array_equal(got, wrapped([field(x, s, n) for x, _, s, n in cases], type_))
    got = evaluate(f"bfi.b{bits} %y, %a, %b, %c, %d", type_, a=a, b=b, c=at, d=length)
    np.testing.assert_array_equal(got, wrapped([filled(x, y, s, n) for x, y, s, n in cases], type_))


def test_bytes(evaluate):
    a, b, c = (integers("b32") for _ in range(3))

    def permuted(x, y, selector):
        both = (y << 32 | x).to_bytes(8, "little")
        nibbles = [selector >> 4 * i & 15 for i in range(4)]
        return bytes(both[n & 7] if n < 8 else 255 * (both[n & 7] >> 7) for n in nibbles)

    expected = [int.from_bytes(permuted(*map(int, xyz)), "little") for xyz in zip(a, b, c, strict=True)]
    assert evaluate("prmt.b32 %y, %a, %b, %c", "b32", a=a, b=b, c=c).tolist() == expected


@pytest.mark.parametrize("type_", ["b32", "b64"])
def test_counts(evaluate, type_):
    a = integers(type_)
    bits, values = 8 * a.dtype.itemsize, a.tolist()
    assert evaluate(f"popc.{type_} %y, %a", "u32", a=a).tolist() == [v.bit_count() for v in values]
    assert evaluate(f"clz.{type_} %y, %a", "u32", a=a).tolist() == [bits - v.bit_length() for v in values]
    assert evaluate(f"brev.{type_} %y, %a", type_, a=a).tolist() == [int(f"{v:0{bits}b}"[::-1], 2) for v in values]
    unsigned, signed = type_.replace("b", "u"), type_.replace("b", "s")
    assert evaluate(f"bfind.{unsigned} %y, %a", "s32", a=a).tolist() == [v.bit_length() - 1 for v in values]
    a = a.view(TYPES[signed])
    expected = [(~v if v < 0 else v).bit_length() - 1 for v in a.tolist()]
    assert evaluate(f"bfind.{signed} %y, %a", "s32", a=a).tolist() == expected


COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@pytest.mark.parametrize("name", COMPARE)
def test_comparisons(evaluate, name):
    a, b = floats("f32"), RNG.permutation(floats("f32"))
    b[::3] = a[::3]
    ordered = ~(np.isnan(a) | np.isnan(b))
    code = "setp.{}.f32 %p0|%p1, %a, %b; selp.u32 %w0, 1, 0, %p0; selp.u32 %y, 2, %w0, %p1"
    np.testing.assert_array_equal(
        evaluate(code.format(name), "u32", a=a, b=b), np.where(COMPARE[name](a, b) & ordered, 1, 2)
    )
    unordered = evaluate(code.format(name + "u"), "u32", a=a, b=b)
    np.testing.assert_array_equal(unordered, np.where(COMPARE[name](a, b) | ~ordered, 1, 2))
    a, b = integers("s32"), integers("s32")
    b[::3] = a[::3]
    code = f"setp.gt.s32 %p1, %b, 0; setp.{name}.and.s32 %p0, %a, %b, !%p1; selp.u32 %y, 1, 0, %p0"
    np.testing.assert_array_equal(evaluate(code, "u32", a=a, b=b), COMPARE[name](a, b) & ~(b > 0))
    code = f"set.{name}.u32.s32 %y, %a, %b"
    np.testing.assert_array_equal(evaluate(code, "u32", a=a, b=b), np.where(COMPARE[name](a, b), 2**32 - 1, 0))
    np.testing.assert_array_equal(evaluate("slct.b32.s32 %y, %a, %b, %b", "s32", a=a, b=b), np.where(b >= 0, a, b))


@pytest.mark.parametrize("to", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("of", ["f32", "f64"])
def test_floats_to_integers(evaluate, of, to):
    scale = 10.0 ** RNG.uniform(-1, 12, COUNT)
    a = np.concatenate([floats(of), (RNG.normal(0, 1, COUNT) * scale).astype(TYPES[of])])
    limits = np.iinfo(TYPES[to])
    for mode, function in (("rni", round), ("rzi", math.trunc), ("rmi", math.floor), ("rpi", math.ceil)):

        def exact(x, function=function):
            if math.isnan(x):
                return 0
            return limits.max if x == math.inf else limits.min if x == -math.inf else function(x)

        expected = [min(max(exact(float(x)), limits.min), limits.max) for x in a]
        assert evaluate(f"cvt.{mode}.{to}.{of} %y, %a", to, a=a).tolist() == expected


def test_between_floats(evaluate):
    a = floats("f64")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate("cvt.rn.f32.f64 %y, %a", "f32", a=a), a.astype(np.float32))
        np.testing.assert_array_equal(evaluate("cvt.rn.f16.f64 %y, %a", "f16", a=a), a.astype(np.float16))
        np.testing.assert_array_equal(evaluate("cvt.rni.f64.f64 %y, %a", "f64", a=a), np.rint(a))
        truncated = evaluate("cvt.rz.f32.f64 %y, %a", "f32", a=a[14:])
    assert (np.abs(truncated) <= np.abs(a[14:])).all()
    np.testing.assert_allclose(truncated, a[14:], rtol=2**-23)


def test_narrow_formats(evaluate):
    """TF32 has 10 bits of mantissa, ties away from zero; bfloat16 has 7, ties to even."""
    a = np.array([1 + 2**-11, 1 + 2**-12, -1 - 2**-11, np.inf], np.float32)
    got = evaluate("cvt.rna.tf32.f32 %y, %a", "b32", a=a).view(np.float32)
    assert got.tolist() == [1 + 2**-10, 1, -1 - 2**-10, np.inf]
    a = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -np.inf], np.float32)
    code = ".reg .b16 %h; cvt.rn.bf16.f32 %h, %a; cvt.f32.bf16 %y, %h"
    got = evaluate(code, "f32", a=a)
    assert got.tolist() == [1, 1 + 2**-6, 1 + 2**-7, -np.inf]
    b = RNG.normal(0, 9, a.size).astype(np.float32)
    pair = evaluate("cvt.rn.f16x2.f32 %y, %a, %b", "b32", a=a, b=b).view(np.float16).reshape(-1, 2)
    np.testing.assert_array_equal(pair, np.stack([b, a], axis=1).astype(np.float16))


def test_between_integers(evaluate):
    a = integers("s64")
    np.testing.assert_array_equal(evaluate("cvt.s32.s64 %y, %a", "s32", a=a), a.astype(np.int32))
    np.testing.assert_array_equal(evaluate("cvt.sat.s32.s64 %y, %a", "s32", a=a), np.clip(a, -(2**31), 2**31 - 1))
    np.testing.assert_array_equal(evaluate("cvt.rn.f64.s64 %y, %a", "f64", a=a), a.astype(np.float64))
    narrow = integers("s16")
    np.testing.assert_array_equal(evaluate("cvt.s64.s16 %y, %a", "s64", a=narrow), narrow)
    np.testing.assert_array_equal(evaluate("cvt.u32.u16 %y, %a", "u32", a=narrow.view("u2")), narrow.view("u2"))


def test_what_is_not_emulated_says_so(evaluate):
    with pytest.raises(EmulationError, match="not emulated: wgmma"):
        evaluate("wgmma.fence.sync.aligned", "u32", a=integers("u32"))


def test_predicated_instructions_and_called_functions(device):
    """A function twice in place, each with registers and labels of its own."""
    text = """
    .version 8.0
    .target sm_80
    .address_size 64
    .func (.param .b32 out) collatz (.param .b32 in)
    {
        .reg .b32 %r<4>; .reg .pred %p<3>;
        ld.param.b32 %r0, [in];
        mov.u32 %r1, 0;
    again:
        setp.eq.u32 %p0, %r0, 1;
        @%p0 bra done;
        and.b32 %r2, %r0, 1;
        setp.eq.u32 %p1, %r2, 0;
        @%p1 shr.u32 %r0, %r0, 1;
        @!%p1 mad.lo.u32 %r0, %r0, 3, 1;
        add.u32 %r1, %r1, 1;
        bra again;
    done:
        st.param.b32 [out], %r1;
        ret;
    }
    .visible .entry k(.param .u64 p)
    {
        .reg .b32 %r<4>; .reg .b64 %d<2>;
        mov.u32 %r0, %tid.x;
        ld.param.u64 %d0, [p];
        mad.wide.u32 %d0, %r0, 4, %d0;
        ld.global.u32 %r1, [%d0];
        { .param .b32 a; .param .b32 b;
        st.param.b32 [a], %r1;
        call.uni (b), collatz, (a);
        ld.param.b32 %r2, [b]; }
        add.u32 %r1, %r1, 1;
        { .param .b32 a; .param .b32 b;
        st.param.b32 [a], %r1;
        call.uni (b), collatz, (a);
        ld.param.b32 %r3, [b]; }
        sub.u32 %r2, %r2, %r3;
        st.global.u32 [%d0], %r2;
        ret;
    }
    """

    def steps(n):
        return 0 if n == 1 else 1 + steps(n // 2 if n % 2 == 0 else 3 * n + 1)

    a = np.arange(1, 101, dtype=np.int32)
    counters = device.launch(text, 1, 100, a)
    assert a.tolist() == [steps(n) - steps(n + 1) for n in range(1, 101)]
    assert counters.divergences > 0
    assert counters.lane_efficiency < 1
