//! Vectors of integers for hosts: sums of products of bytes for 16 filters at a time, and what becomes of sums.
//!
//! The results are the same to the bit with all instruction sets: sums have 32 bits and never overflow, whatever their order.
//!
//! | file | products | taken by |
//! |---|---|---|
//! | `portable.rs` | in plain Rust | tests, which compare the others with it |
//! | `neon.rs` | `sdot` where the processor has it, else `smull` and `sadalp` | `Neon` |
//! | `avx2.rs` | `vpmaddubsw` of seven bits, which cannot saturate, and of the eighth | `Avx2`, `Avx512` without VNNI |
//! | `avx512.rs` | `vpdpbusd` | `Avx512` with VNNI |
//!
//! [`Portable`](super::Level::Portable) and [`Scalar`](super::Level::Scalar) take the loops of a device, which compilers make
//! more of than of these.
//!
//! Weights lie in blocks of 16 filters: `[four inputs][filter][input]`, so that a block of 64 bytes meets four inputs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2Int8;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512Int8;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::NeonInt8;

/// Filters whose sums lie in a vector.
pub(crate) const FILTERS: usize = 16;

/// From 16 sums to outputs: a number of Q31 for each, and shifts to the left (by 32 and more there is nothing left) and to the
/// right.
#[derive(Clone, Copy)]
pub(crate) struct Multipliers<'a> {
    pub multiplier: &'a [i32; FILTERS],
    pub left: &'a [i32; FILTERS],
    pub right: &'a [i32; FILTERS],
}

/// Vectors of 16 integers; `self` is the proof that the processor has their instructions.
pub(crate) trait Int8Simd: Copy {
    /// 16 integers of 32 bits.
    type Sums: Copy;
    /// Sums under way.
    type Partial: Copy;
    /// Weights of 16 filters for four inputs.
    type Weights: Copy;
    /// Four inputs, for all filters.
    type Inputs: Copy;
    /// What [`Self::inputs`] adds to each input: the instructions want no sign, and the lowest byte, which stands for zero behind a
    /// ReLU, adds nothing then.
    const OFFSET: i32;
    /// Whether [`Self::Partial`] leaves room for 16 of them in registers rather than 2.
    const MANY_REGISTERS: bool;
    /// Most blocks of filters whose sums at some positions are in registers together.
    const BLOCKS: usize;
    /// Whether [`Self::add_low_dots`] is faster than [`Self::add_dots`].
    const HAS_LOW: bool = false;

    /// Zeros.
    fn zero(self) -> Self::Partial;
    /// Weights `[filter][input]`.
    fn weights(self, w: &[i8; 4 * FILTERS]) -> Self::Weights;
    /// Four inputs.
    fn inputs(self, x: [i8; 4]) -> Self::Inputs;
    /// Of each four inputs two bits: whether they add anything, where a byte of `-OFFSET` adds nothing, and whether they are too
    /// large for [`Self::add_low_dots`].
    fn live(self, x: &[i8; 32]) -> [u32; 2];
    /// [`Self::add_dots`] of inputs that are not large.
    #[inline(always)]
    fn add_low_dots(self, sums: Self::Partial, x: Self::Inputs, w: Self::Weights) -> Self::Partial {
        self.add_dots(sums, x, w)
    }
    /// Adds the products of inputs and weights, four for each filter.
    fn add_dots(self, sums: Self::Partial, x: Self::Inputs, w: Self::Weights) -> Self::Partial;
    /// The sums.
    fn sums(self, partial: Self::Partial) -> Self::Sums;
    /// From memory.
    fn load(self, x: &[i32; FILTERS]) -> Self::Sums;
    /// To memory.
    fn store(self, x: Self::Sums) -> [i32; FILTERS];
    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::Sums;
    /// Bytes as integers.
    fn widen(self, x: &[i8; FILTERS]) -> Self::Sums;
    /// The lowest byte of each lane, where the lanes are bytes.
    fn narrow(self, x: Self::Sums) -> [i8; FILTERS];
    /// `a + b`
    fn add(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// `a * b + c`; `a` and `b` fit 16 bits.
    fn mul_add(self, a: Self::Sums, b: Self::Sums, c: Self::Sums) -> Self::Sums;
    /// The larger of each pair of lanes.
    fn max(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// The smaller of each pair of lanes.
    fn min(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// Bit `i` is set where lane `i` of `a` is greater than that of `b`.
    fn greater(self, a: Self::Sums, b: Self::Sums) -> u32;
    /// Each lane times its multiplier, rounded twice, half away from zero: as `kernels/int8/requantise.rs` does.
    fn requantise(self, x: Self::Sums, by: Multipliers<'_>) -> Self::Sums;
}

/// Work with vectors of integers: the fields of the type are its arguments.
pub(crate) trait Int8Kernel {
    /// Does the work.
    fn run<S: Int8Simd>(self, simd: S);
}

/// The first 16 elements; zeros where `x` is shorter.
#[inline(always)]
pub(crate) fn sixteen<T: Copy + Default>(x: &[T]) -> [T; FILTERS] {
    match x.first_chunk() {
        Some(x) => *x,
        None => filled_up(x),
    }
}

/// The elements of `x`, fewer than `L`, and zeros.
#[cold]
#[inline(never)]
pub(crate) fn filled_up<T: Copy + Default, const L: usize>(x: &[T]) -> [T; L] {
    let mut some = [T::default(); L];
    some.iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    some
}

#[cfg(test)]
mod tests {
    use super::portable::PortableInt8;
    use super::*;
    use crate::vector::{Level, Simd};

    /// Numbers that look random, with the ends of their range among them.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 32) as u32
        }
        fn bytes<const N: usize>(&mut self) -> [i8; N] {
            core::array::from_fn(|_| match self.next() % 8 {
                0 => i8::MIN,
                1 => i8::MAX,
                _ => self.next() as i8,
            })
        }
        fn sums(&mut self) -> [i32; FILTERS] {
            core::array::from_fn(|_| match self.next() % 8 {
                0 => i32::MIN,
                1 => i32::MAX,
                2 => 0,
                3 => self.next() as i32 % 100,
                _ => self.next() as i32 >> (self.next() % 24),
            })
        }
    }

    /// Compares all operations with those in plain Rust.
    struct Compare<'a>(&'a mut Numbers, &'a mut usize);

    impl Int8Kernel for Compare<'_> {
        #[inline(always)]
        fn run<S: Int8Simd>(self, simd: S) {
            let (Self(numbers, compared), plain) = (self, PortableInt8);
            *compared += 1;
            for _ in 0..2000 {
                let (a, b) = (numbers.sums(), numbers.sums());
                let (x, y) = (simd.load(&a), simd.load(&b));
                assert_eq!(simd.store(x), a);
                assert_eq!(simd.store(simd.add(x, y)), plain.add(a, b));
                assert_eq!(simd.store(simd.max(x, y)), plain.max(a, b));
                assert_eq!(simd.store(simd.min(x, y)), plain.min(a, b));
                assert_eq!(simd.greater(x, y), plain.greater(a, b));
                assert_eq!(simd.greater(x, x), 0);
                assert_eq!(simd.store(simd.splat(a[0])), [a[0]; FILTERS]);
                let (bytes, others) = (numbers.bytes(), numbers.bytes());
                let (wide, wide_other) = (simd.widen(&bytes), simd.widen(&others));
                assert_eq!(simd.store(wide), bytes.map(i32::from));
                assert_eq!(simd.narrow(wide), bytes);
                let expected = plain.mul_add(plain.widen(&bytes), plain.widen(&others), a);
                assert_eq!(simd.store(simd.mul_add(wide, wide_other, x)), expected);
                // Four fours of what adds nothing, and others of which one byte may add something.
                let mut inputs: [i8; 32] = numbers.bytes();
                inputs.iter_mut().step_by(2).for_each(|x| *x = (-S::OFFSET) as i8);
                inputs[..16].fill((-S::OFFSET) as i8);
                let expected = inputs
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|four| four.map(|x| i32::from(x as u8) != (-S::OFFSET & 0xff)));
                let expected =
                    expected.enumerate().fold(0, |live, (i, four)| live | u32::from(four.contains(&true)) << i);
                let [live, large] = simd.live(&inputs);
                assert_eq!(live, expected);
                assert_eq!(large & !live, 0, "what adds nothing is not large");
                for (i, four) in inputs.as_chunks::<4>().0.iter().enumerate().filter(|(i, _)| large >> i & 1 == 0) {
                    let (x, w) = (simd.inputs(*four), numbers.bytes());
                    let [low, all] = [
                        simd.add_low_dots(simd.zero(), x, simd.weights(&w)),
                        simd.add_dots(simd.zero(), x, simd.weights(&w)),
                    ];
                    assert_eq!(simd.store(simd.sums(low)), simd.store(simd.sums(all)), "{i}: {four:?} {w:?}");
                }
                let (mut sums, mut expected) = (simd.zero(), plain.zero());
                for _ in 0..5 {
                    let (inputs, weights) = (numbers.bytes(), numbers.bytes());
                    sums = simd.add_dots(sums, simd.inputs(inputs), simd.weights(&weights));
                    expected = plain.add_dots(expected, inputs, weights);
                    for (sum, weights) in expected.iter_mut().zip(weights.as_chunks::<4>().0) {
                        *sum += weights.iter().map(|w| i32::from(*w) * S::OFFSET).sum::<i32>();
                    }
                }
                assert_eq!(simd.store(simd.sums(sums)), expected);
                // Multipliers of 0, shifts of 31 to either side, and by more than there are bits.
                let multiplier = &numbers.sums().map(|m| m & i32::MAX);
                let left = &numbers.sums().map(|n| if n % 4 == 0 { n & 63 } else { 0 });
                let right = &numbers.sums().map(|n| if n % 4 == 0 { 31 } else { n & 31 });
                let by = Multipliers { multiplier, left, right };
                assert_eq!(
                    simd.store(simd.requantise(x, by)),
                    plain.requantise(a, by),
                    "{a:?} {multiplier:?} {left:?} {right:?}"
                );
            }
        }
    }

    #[test]
    fn all_instructions_compute_what_plain_rust_does() {
        struct OfLevel<'a>(&'a mut Numbers, &'a mut usize);
        impl crate::vector::Kernel for OfLevel<'_> {
            type Output = ();
            fn run<S: Simd>(self, simd: S) {
                if S::HAS_INT8 {
                    simd.call_int8(Compare(self.0, self.1));
                }
            }
        }
        let (mut numbers, mut compared) = (Numbers(1), 0);
        for level in Level::all() {
            level.run(OfLevel(&mut numbers, &mut compared));
        }
        #[cfg(target_arch = "aarch64")]
        NeonInt8::<false>::BASE.run(Compare(&mut numbers, &mut compared));
        std::println!("{compared} sets of instructions");
        assert!(compared > 0 || Level::detect() == Level::Portable);
    }
}
