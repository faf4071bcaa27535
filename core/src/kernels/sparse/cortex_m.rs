//! The inner loops for Cortex-M processors with a single-precision FPU, in assembly: on the M4, M7 and M33 a load of
//! several registers is one instruction (and one cycle a register instead of two), and f16 converts in hardware,
//! neither of which the compiler makes use of. Each has a portable twin in [`crate::kernels::sparse`] with which the
//! firmware's self-test compares it.
//!
//! A product and a sum are two instructions here: on the M4 they take one cycle each and VFMA three.

use core::arch::asm;

use half::f16;

use super::outputs::{OUTPUTS, Outputs, ROW};

/// Whether a load of several words may start at `weights` and at every multiple of `stride` elements from there.
#[inline(always)]
fn is_word_aligned<T>(weights: &[T], stride: usize) -> bool {
    // The next row.
    let next = weights.as_ptr().wrapping_add(stride).addr();
    (weights.as_ptr().addr() | next).is_multiple_of(4)
}

/// Whether the rows of the set bits of `live`, from `weights` on, are there up to element `end`, and so are as many
/// `values`.
#[inline(always)]
fn all_there<T>(live: u32, values: &[f32], weights: &[T], stride: usize, end: usize) -> bool {
    let last = (u32::BITS - 1 - live.leading_zeros()) as usize;
    last < values.len() && last * stride + end <= weights.len()
}

/// Products of the registers with s24, in place, then sums: `[factor ..], [sum factor ..]`. In this order no
/// instruction waits for the one before.
macro_rules! multiply_add {
    ([$($w:literal)*], [$($s:literal $product:literal)*]) => {
        concat!(
            $("vmul.f32 s", $w, ", s", $w, ", s24\n",)*
            $("vadd.f32 s", $s, ", s", $s, ", s", $product, "\n",)*
        )
    };
}

/// Products of pairs of registers, in the first of each, then sums.
macro_rules! multiply_pairs_add {
    ([$($w:literal $x:literal)*], [$($s:literal $product:literal)*]) => {
        concat!(
            $("vmul.f32 s", $w, ", s", $w, ", s", $x, "\n",)*
            $("vadd.f32 s", $s, ", s", $s, ", s", $product, "\n",)*
        )
    };
}

/// Words of two f16: the lower half to the first register of each pair, the upper one replaces the word.
macro_rules! convert {
    ($($low:literal $word:literal)*) => {
        concat!($(
            "vcvtb.f32.f16 s", $low, ", s", $word, "\n",
            "vcvtt.f32.f16 s", $word, ", s", $word, "\n",
        )*)
    };
}

/// [`add_live_rows`](crate::kernels::sparse::add_live_rows) for one type of weights: `$row` reads the row at `w` and adds
/// it, times s24, to s0-s15. False if the slices are too short or not aligned.
macro_rules! add_live_rows {
    ($name:ident $weight:ty: $($row:expr),*) => {
        #[inline(always)]
        pub(crate) fn $name(
            sums: &mut [f32; ROW],
            (x, live): (&[f32], u32),
            (weights, stride): (&[$weight], usize),
        ) -> bool {
            if live == 0 || !all_there(live, x, weights, stride, ROW) || !is_word_aligned(weights, stride) {
                return live == 0;
            }
            // SAFETY: `all_there` checked every address that is read, and words are aligned; `sums` has the 16
            // elements that are read and written.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                asm!(
                    "vldmia {sums}, {{s0-s15}}",
                    // From one live input to the next: where that is its neighbour, nothing is searched.
                    "2:",
                    "clz {j}, {live}",
                    "lsl {live}, {live}, {j}",
                    "mla {weights}, {j}, {stride}, {weights}",
                    "add {x}, {x}, {j}, lsl #2",
                    "3:",
                    "vldmia {x}!, {{s24}}",
                    $($row,)*
                    "add {weights}, {weights}, {stride}",
                    "lsls {live}, {live}, #1",
                    "bmi 3b",
                    "bne 2b",
                    "vstmia {sums}, {{s0-s15}}",
                    sums = in(reg) sums.as_mut_ptr(),
                    live = inout(reg) live.reverse_bits() => _,
                    j = out(reg) _,
                    stride = in(reg) stride * size_of::<$weight>(),
                    weights = inout(reg) weights.as_ptr() => _,
                    x = inout(reg) x.as_ptr() => _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _,
                    options(nostack),
                );
            }
            true
        }
    };
}

add_live_rows!(add_live_rows_f32 f32:
    "vldmia {weights}!, {{s16-s23}}",
    multiply_add!([16 17 18 19 20 21 22 23], [0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23]),
    "vldmia {weights}, {{s16-s23}}",
    "sub {weights}, {weights}, #32",
    multiply_add!([16 17 18 19 20 21 22 23], [8 16 9 17 10 18 11 19 12 20 13 21 14 22 15 23])
);
add_live_rows!(add_live_rows_f16 f16:
    "vldmia {weights}, {{s16-s23}}",
    convert!(25 16 26 17 27 18 28 19),
    multiply_add!([25 16 26 17 27 18 28 19], [0 25 1 16 2 26 3 17 4 27 5 18 6 28 7 19]),
    convert!(25 20 26 21 27 22 28 23),
    multiply_add!([25 20 26 21 27 22 28 23], [8 25 9 20 10 26 11 21 12 27 13 22 14 28 15 23])
);

/// [`Outputs::add_dots`] for one type of weights: `$load` reads the weights with indices r0-r3 to s4-s7. False if the
/// slices are too short.
macro_rules! add_dots {
    ($name:ident $weight:ty: $($load:expr),*) => {
        #[inline(always)]
        pub(crate) fn $name(
            outputs: &mut Outputs,
            (weights, stride): (&[$weight], usize),
            wanted: u32,
            target: &mut [f32],
        ) -> bool {
            let (count, end) = outputs.whole_groups();
            if wanted == 0 || count == 0 {
                return true;
            }
            if !all_there(wanted, target, weights, stride, end) {
                return false;
            }
            let indices = (&raw const *outputs).cast::<usize>();
            // SAFETY: `all_there` checked every address of weights and targets, every index being below `end`. The
            // list starts with its indices, of which there are `count`; the gradients follow.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                asm!(
                    "2:",
                    "clz {j}, {wanted}",
                    "lsl {wanted}, {wanted}, {j}",
                    "lsl {wanted}, {wanted}, #1",
                    "mla {weights}, {j}, {stride}, {weights}",
                    "add {target}, {target}, {j}, lsl #2",
                    "vldr s8, [{target}]",
                    "mov {j}, {indices}",
                    "add {g}, {indices}, #{gradients}",
                    "3:",
                    "ldmia {j}!, {{r0, r1, r2, r3}}",
                    "vldmia {g}!, {{s0-s3}}",
                    $($load,)*
                    "vmul.f32 s4, s4, s0",
                    "vmul.f32 s5, s5, s1",
                    "vmul.f32 s6, s6, s2",
                    "vmul.f32 s7, s7, s3",
                    "cmp {j}, {end}",
                    "vadd.f32 s4, s4, s5",
                    "vadd.f32 s6, s6, s7",
                    "vadd.f32 s8, s8, s4",
                    "vadd.f32 s8, s8, s6",
                    "bne 3b",
                    "vstmia {target}!, {{s8}}",
                    "add {weights}, {weights}, {stride}",
                    "cmp {wanted}, #0",
                    "bne 2b",
                    wanted = inout(reg) wanted.reverse_bits() => _,
                    j = out(reg) _,
                    g = out(reg) _,
                    stride = in(reg) stride * size_of::<$weight>(),
                    weights = inout(reg) weights.as_ptr() => _,
                    target = inout(reg) target.as_mut_ptr() => _,
                    indices = in(reg) indices,
                    end = in(reg) indices.wrapping_add(count),
                    gradients = const OUTPUTS * size_of::<usize>(),
                    out("r0") _, out("r1") _, out("r2") _, out("r3") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _,
                    options(nostack),
                );
            }
            true
        }
    };
}

add_dots!(add_dots_f32 f32:
    "ldr r0, [{weights}, r0, lsl #2]",
    "ldr r1, [{weights}, r1, lsl #2]",
    "ldr r2, [{weights}, r2, lsl #2]",
    "ldr r3, [{weights}, r3, lsl #2]",
    "vmov s4, s5, r0, r1",
    "vmov s6, s7, r2, r3"
);
add_dots!(add_dots_f16 f16:
    "ldrh r0, [{weights}, r0, lsl #1]",
    "ldrh r1, [{weights}, r1, lsl #1]",
    "ldrh r2, [{weights}, r2, lsl #1]",
    "ldrh r3, [{weights}, r3, lsl #1]",
    "vmov s4, s5, r0, r1",
    "vmov s6, s7, r2, r3",
    "vcvtb.f32.f16 s4, s4",
    "vcvtb.f32.f16 s5, s5",
    "vcvtb.f32.f16 s6, s6",
    "vcvtb.f32.f16 s7, s7"
);

/// Zeros, from the integer register `a`.
macro_rules! clear {
    ($($s:literal)*) => { concat!($("vmov s", $s, ", {a}\n",)*) };
}

/// Each second register is added to the first.
macro_rules! add_up {
    ($($s:literal $other:literal)*) => { concat!($("vadd.f32 s", $s, ", s", $s, ", s", $other, "\n",)*) };
}

/// Elements that one turn of a dot product takes.
const DOT: usize = 8;

/// Dot products of two rows of weights with `x`, of as many whole eights as they have, if they are aligned to words:
/// `$row_0` and `$row_1` read the next eight weights of a row and add their products with s8-s15 to s0-s3 and s4-s7.
/// Returns the sums and where they end.
macro_rules! dots {
    ($name:ident $weight:ty: $($row:expr),*) => {
        #[inline(always)]
        pub(crate) fn $name(rows: [&[$weight]; 2], x: &[f32]) -> ([f32; 2], usize) {
            let turns = rows[0].len().min(rows[1].len()).min(x.len()) / DOT;
            if turns == 0 || rows.iter().any(|row| !is_word_aligned(row, 0)) {
                return ([0.0; 2], 0);
            }
            let (a, b): (u32, u32);
            // SAFETY: reads `turns` times eight elements of the three slices, which they have.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                asm!(
                    clear!(0 1 2 3 4 5 6 7),
                    "2:",
                    "vldmia {x}!, {{s8-s15}}",
                    $($row,)*
                    "subs {turns}, #1",
                    "bne 2b",
                    add_up!(0 1 2 3 0 2 4 5 6 7 4 6),
                    "vmov {a}, s0",
                    "vmov {b}, s4",
                    row_0 = inout(reg) rows[0].as_ptr() => _,
                    row_1 = inout(reg) rows[1].as_ptr() => _,
                    x = inout(reg) x.as_ptr() => _,
                    turns = inout(reg) turns => _,
                    a = inout(reg) 0u32 => a,
                    b = out(reg) b,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    options(nostack, readonly),
                );
            }
            ([f32::from_bits(a), f32::from_bits(b)], turns * DOT)
        }
    };
}

dots!(dots_f32 f32:
    "vldmia {row_0}!, {{s16-s23}}",
    multiply_pairs_add!([16 8 17 9 18 10 19 11 20 12 21 13 22 14 23 15], [0 16 1 17 2 18 3 19 0 20 1 21 2 22 3 23]),
    "vldmia {row_1}!, {{s16-s23}}",
    multiply_pairs_add!([16 8 17 9 18 10 19 11 20 12 21 13 22 14 23 15], [4 16 5 17 6 18 7 19 4 20 5 21 6 22 7 23])
);
dots!(dots_f16 f16:
    "vldmia {row_0}!, {{s16-s19}}",
    convert!(20 16 21 17 22 18 23 19),
    multiply_pairs_add!([20 8 16 9 21 10 17 11 22 12 18 13 23 14 19 15], [0 20 1 16 2 21 3 17 0 22 1 18 2 23 3 19]),
    "vldmia {row_1}!, {{s16-s19}}",
    convert!(20 16 21 17 22 18 23 19),
    multiply_pairs_add!([20 8 16 9 21 10 17 11 22 12 18 13 23 14 19 15], [4 20 5 16 6 21 7 17 4 22 5 18 6 23 7 19])
);

/// The steps of [`keep_greater`] for pairs of registers and the bit of each.
macro_rules! keep_if_greater {
    ($($best:literal $x:literal $bit:literal)*) => {
        concat!($(
            "vcmp.f32 s", $x, ", s", $best, "\n",
            "vmrs APSR_nzcv, fpscr\n",
            "itt gt\n",
            "vmovgt.f32 s", $best, ", s", $x, "\n",
            "orrgt {replaced}, #", $bit, "\n",
        )*)
    };
}

/// [`keep_greater`](crate::kernels::sparse::keep_greater) of sixteen values.
#[inline(always)]
pub(crate) fn keep_greater(best: &mut [f32; ROW], x: &[f32; ROW]) -> u32 {
    let mut replaced = 0;
    // SAFETY: reads both arrays of 16 elements and writes the first.
    #[allow(unsafe_code, reason = "inline assembly")]
    unsafe {
        asm!(
            "vldmia {best}, {{s0-s15}}",
            "vldmia {x}, {{s16-s31}}",
            keep_if_greater!(
                0 16 1 1 17 2 2 18 4 3 19 8 4 20 16 5 21 32 6 22 64 7 23 128
                8 24 256 9 25 512 10 26 1024 11 27 2048 12 28 4096 13 29 8192 14 30 16384 15 31 32768
            ),
            "vstmia {best}, {{s0-s15}}",
            best = in(reg) best.as_mut_ptr(),
            x = in(reg) x.as_ptr(),
            replaced = inout(reg) replaced,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _, out("s23") _,
            out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _, out("s29") _, out("s30") _, out("s31") _,
            options(nostack),
        );
    }
    replaced
}
