//! Seeds. What is random about an image depends on its place in the data set, on nothing that is done beside it.

use midge_core::attack::start_seed;

/// What random numbers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The start of an attack.
    Start = 1,
    /// The class to reach.
    Target,
    /// Signs of plus or minus eps.
    Signs,
    /// The noise of a camera.
    Camera,
}

/// The seed of one stream of random numbers, for the image at this place of the data set. Restarts follow the first as
/// those of [`midge_core::attack::Pgd`] do.
pub fn stream(seed: u64, purpose: Purpose, image: usize, restart: usize) -> u64 {
    let words = [purpose as u64, image as u64];
    start_seed(words.into_iter().fold(mix(seed), |state, word| mix(state.wrapping_add(word))), restart)
}

/// The output function of SplitMix64. Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_streams_are_the_same() {
        let purposes = [Purpose::Start, Purpose::Target, Purpose::Signs, Purpose::Camera];
        let mut seen = HashSet::new();
        for seed in [0, 1, 2, u64::MAX] {
            for purpose in purposes {
                for image in (0..500).chain([usize::MAX]) {
                    for restart in 0..10 {
                        assert!(
                            seen.insert(stream(seed, purpose, image, restart)),
                            "{seed} {purpose:?} {image} {restart}"
                        );
                    }
                }
            }
        }
    }

    /// A figure in a paper must be found again: the numbers are part of what the program promises.
    #[test]
    fn streams_stay_what_they_are() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf, "the first number of SplitMix64 from seed 0");
        assert_eq!(stream(1, Purpose::Start, 0, 3), start_seed(stream(1, Purpose::Start, 0, 0), 3));
    }
}
