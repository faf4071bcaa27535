//! Uniform numbers from a generator. Not those of crate rand, whose values may change with its version: the same seed must
//! give the same weights and the same drawings.

use rand_xoshiro::rand_core::Rng;

/// A uniform number in [0, 1) with 24 bits, all that an f32 can tell apart there.
pub fn unit(generator: &mut impl Rng) -> f32 {
    (generator.next_u64() >> 40) as f32 / (1u64 << 24) as f32
}

/// A uniform whole number below `end`, from the high half of a 128-bit product: its bias is about `end / 2^64`.
pub fn below(generator: &mut impl Rng, end: usize) -> usize {
    ((u128::from(generator.next_u64()) * end as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn numbers_are_in_their_range_and_evenly_spread() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut counts = [[0; 7]; 2];
        for _ in 0..7000 {
            counts[0][(7.0 * unit(&mut generator)) as usize] += 1;
            counts[1][below(&mut generator, 7)] += 1;
        }
        // Five standard deviations.
        assert!(counts.iter().flatten().all(|count| (1000i32 - count).abs() < 150), "{counts:?}");
    }
}
