//! Sums of weights times factors: the way back through convolutions and dense layers.

use core::arch::asm;

/// Adds the factor {g} times four weights, in {$w}, to four sums; {$even} takes weights 0 and 2.
macro_rules! multiply {
    ($w:literal $even:literal: [$s0:literal $s1:literal $s2:literal $s3:literal]) => {
        concat!(
            "sxtb16 ",
            $even,
            ", ",
            $w,
            "\n",
            "sxtb16 ",
            $w,
            ", ",
            $w,
            ", ror #8\n",
            "smlabb ",
            $s0,
            ", ",
            $even,
            ", {g}, ",
            $s0,
            "\n",
            "smlatb ",
            $s2,
            ", ",
            $even,
            ", {g}, ",
            $s2,
            "\n",
            "smlabb ",
            $s1,
            ", ",
            $w,
            ", {g}, ",
            $s1,
            "\n",
            "smlatb ",
            $s3,
            ", ",
            $w,
            ", {g}, ",
            $s3,
            "\n",
        )
    };
}

/// One term: its place moves on behind the weights that are read.
macro_rules! term8 {
    () => {
        concat!(
            "ldrd {p}, {g}, [{list}]\n",
            "ldr r10, [{p}], #4\n",
            "ldr r11, [{p}], #4\n",
            "str {p}, [{list}], #8\n",
            multiply!("r10" "{p}": ["r0" "r1" "r2" "r3"]),
            multiply!("r11" "{p}": ["r4" "r5" "r8" "r9"]),
        )
    };
}
macro_rules! term4 {
    () => {
        concat!(
            "ldrd {p}, {g}, [{list}]\n",
            "ldr r10, [{p}], #4\n",
            "str {p}, [{list}], #8\n",
            multiply!("r10" "{p}": ["r0" "r1" "r2" "r3"]),
        )
    };
}

/// One function for blocks of a number of sums.
macro_rules! add_terms {
    ($name:ident $count:literal, $registers:literal, [$($register:tt)*]: $term:expr) => {
        #[doc = concat!("Adds the products of `count` terms, a place and a factor of 16 bits each, to `blocks` times ", $count, " sums, and")]
        /// moves their places behind the weights.
        ///
        /// # Safety
        /// `blocks` is at least 1; `count` is even and at least 2; `terms` has as many, and at the place of each there are as many weights
        /// as sums.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, blocks): (*mut [i32; $count], usize),
            (terms, count): (*mut [i32; 2], usize),
        ) {
            // SAFETY: the caller's. What lies on the stack is taken off again.
            unsafe {
                asm!(
                    processor!(),
                    // Sums, terms, where the terms end, where the sums end.
                    "push {{r0, r1, r2, r3}}",
                    "3:",
                    "ldrd {p}, {list}, [sp]",
                    concat!("ldmia {p}, {{", $registers, "}}"),
                    "2:",
                    $term,
                    $term,
                    "ldr {p}, [sp, #8]",
                    "cmp {list}, {p}",
                    "bne 2b",
                    "ldr {list}, [sp, #12]",
                    "ldr {p}, [sp]",
                    concat!("stmia {p}!, {{", $registers, "}}"),
                    "str {p}, [sp]",
                    "cmp {p}, {list}",
                    "bne 3b",
                    "add sp, sp, #16",
                    list = out(reg) _,
                    p = out(reg) _,
                    g = out(reg) _,
                    inout("r0") sums => _,
                    inout("r1") terms => _,
                    inout("r2") terms.wrapping_add(count) => _,
                    inout("r3") sums.wrapping_add(blocks) => _,
                    $(out($register) _,)*
                );
            }
        }
    };
}

add_terms!(add_terms8 8, "r0, r1, r2, r3, r4, r5, r8, r9", ["r4" "r5" "r8" "r9" "r10" "r11"]: term8!());
add_terms!(add_terms4 4, "r0, r1, r2, r3", ["r10"]: term4!());

/// Lists the values that are not 0, divided by 2 to `shift` and rounded, with their places: the first value's, and each next one
/// `stride` further. Returns the end of the list.
///
/// # Safety
/// `count` is at least 1; `values` has as many elements, and `list` has room for them. `shift` is at most 31.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn list_terms(
    list: *mut [i32; 2],
    (values, count): (*const i16, usize),
    (place, stride): (i32, usize),
    shift: u32,
) -> *mut [i32; 2] {
    let mut end = list;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "2:",
            "ldrsh r0, [{values}], #2",
            "cbz r0, 3f",
            "add r0, r0, {half}",
            "asr r0, r0, {shift}",
            "strd {place}, r0, [{list}], #8",
            "3:",
            "add {place}, {place}, {stride}",
            "subs {count}, {count}, #1",
            "bne 2b",
            list = inout(reg) end,
            values = inout(reg) values => _,
            count = inout(reg) count => _,
            place = inout(reg) place => _,
            out("r0") _,
            stride = in(reg) stride,
            half = in(reg) 1u32 << shift >> 1,
            shift = in(reg) shift,
            options(nostack),
        );
    }
    end
}
