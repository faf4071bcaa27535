//! Where the rows of a network of integers lie, and which stages wait for their whole input.
//!
//! Depth first, a stage keeps the few rows under its window. Where maps are small and stages many, all those rows together take more
//! than two maps do. So a chain is cut into *segments*: the stage that begins one waits until its whole input is there, and then
//! nobody needs the rows of the segment before it any more. Neighbouring maps lie at the two ends of the memory.
//!
//! ```text
//! three segments, begun by the image, by stage b and by stage d
//!
//! | rows of the stages 0 to b - 1 |         | map of b |
//! | map of d |     | rows of b + 1 to d - 1 | map of b |
//! | map of d | rows of the stages behind d  |
//! ```
//! The cuts are those that make the largest of these the smallest.

use super::lengths::Lengths;
use super::schedule::is_linear;
use super::spatial::{Operation, Spatial, WAITS};
use super::stage::Stage;
use super::stages::{MAX_STAGES, Stages};
use crate::network::shape::Shape;

/// Bytes of the rows of a stage and of its whole input, which is 0 where it cannot wait for that.
#[derive(Clone, Copy)]
struct Room {
    rows: u64,
    map: u64,
}

/// No stage.
const NONE: usize = MAX_STAGES;

/// Cuts the first `count` of `stages` into segments.
const fn cut(stages: &mut [Stage; MAX_STAGES], count: usize) {
    if !is_linear(stages, count) {
        return;
    }
    let mut rooms = [Room { rows: 0, map: 0 }; MAX_STAGES];
    let mut i = 0;
    while i < count {
        if let Stage::Spatial(stage) = &stages[i] {
            rooms[i] = stage.room(i > 0);
        }
        i += 1;
    }
    let cuts = cuts(&rooms, count);
    let mut i = 0;
    while i < count {
        if let Stage::Spatial(stage) = &mut stages[i]
            && cuts[i]
        {
            stage.wait_for_map();
        }
        i += 1;
    }
}

const fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// The stages that wait for their input. For each stage and for the end: the largest segment before it, if it is cut off there.
const fn cuts(rooms: &[Room; MAX_STAGES], count: usize) -> [bool; MAX_STAGES] {
    let mut largest = [u64::MAX; MAX_STAGES + 1];
    let mut before = [NONE; MAX_STAGES + 1];
    let mut end = 1;
    while end <= count {
        let map = if end < count { rooms[end].map } else { 0 };
        if end == count || map > 0 {
            // The last cut before this one: no cut first, then the nearest, so that of equal ones the fewest are taken.
            let mut rows = 0;
            let mut i = 0;
            while i < end {
                rows += rooms[i].rows;
                i += 1;
            }
            largest[end] = rows + map;
            let mut segment = map;
            let mut cut = end - 1;
            while cut > 0 {
                if rooms[cut].map > 0 {
                    let found = larger(largest[cut], segment + rooms[cut].map);
                    if found < largest[end] {
                        (largest[end], before[end]) = (found, cut);
                    }
                }
                segment += rooms[cut].rows;
                cut -= 1;
            }
        }
        end += 1;
    }
    let mut cuts = [false; MAX_STAGES];
    let mut cut = before[count];
    while cut != NONE {
        cuts[cut] = true;
        cut = before[cut];
    }
    cuts
}

impl Stages {
    /// With the buffers of a network of integers of 8 bits, on images of shape `input`.
    pub(crate) const fn int8(self, input: Shape) -> Self {
        let mut stages = self.stages;
        cut(&mut stages, self.spatial);
        let lengths = Lengths::of(input, &stages, (self.count, self.spatial), true);
        Self { stages, is_int8: true, is_chain: false, lengths, ..self }
    }

    /// Where the rows of each spatial stage of a network of integers start, in bytes.
    pub(crate) fn row_starts(&self) -> impl Iterator<Item = usize> + '_ {
        let total = 4 * self.lengths().forward_rows;
        // Whether the map that began the segment lies at the end. Before the first cut there is none.
        let (mut at_end, mut next) = (false, 0);
        (0..self.spatial_count()).map_while(move |index| {
            let stage = self.spatial(index)?;
            let len = stage.int8_rows_len();
            let start = match (stage.waits(), at_end) {
                (false, _) => next,
                (true, false) => total - len,
                (true, true) => 0,
            };
            at_end ^= stage.waits();
            // Rows lie behind the map at the front, be it the segment's own or that of the next one.
            next = if stage.waits() && at_end { self.next_map(index) } else { start + len };
            Some(start)
        })
    }

    /// Bytes of the map that begins the segment behind that of stage `index`.
    fn next_map(&self, index: usize) -> usize {
        let mut behind = (index + 1..self.spatial_count()).filter_map(|index| self.spatial(index));
        behind.find(|stage| stage.waits()).map_or(0, Spatial::int8_rows_len)
    }
}

impl Spatial {
    /// What it takes. The image's stage cannot wait, nor can an average, which keeps sums.
    const fn room(&self, reads_stage: bool) -> Room {
        let is_average = matches!(self.operation, Operation::Average);
        let can_wait = reads_stage && !is_average && self.padded_height() <= u8::MAX as usize;
        let map = if can_wait { self.values_len(self.padded_height()) } else { 0 };
        Room { rows: self.int8_rows_len() as u64, map: map as u64 }
    }

    /// Has it keep its whole input.
    const fn wait_for_map(&mut self) {
        self.layer |= WAITS;
        self.slots[0] = self.padded_height() as u8;
    }

    /// Padded input rows that have to be there for output row `row`.
    #[inline(always)]
    pub(crate) const fn rows_before(&self, row: usize) -> usize {
        if self.waits() { self.padded_height() } else { row * self.row_step() + self.row_extent() }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use rand_xoshiro::Xoshiro128PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    use super::super::int8::rows_len;
    use super::*;
    use crate::network::Network;

    /// As in MobileNet: large maps with few channels, then many stages on small maps.
    const CHAIN: &str = "input(40,40,3) conv2d(filters=8,kernel=3,stride=2) relu \
        depthwise_conv2d(kernel=3,stride=2) relu conv2d(filters=16,kernel=1) relu \
        depthwise_conv2d(kernel=3) relu conv2d(filters=32,kernel=1) relu \
        depthwise_conv2d(kernel=3,stride=2) relu conv2d(filters=64,kernel=1) relu \
        depthwise_conv2d(kernel=3) relu conv2d(filters=64,kernel=1) relu \
        depthwise_conv2d(kernel=3) relu conv2d(filters=64,kernel=1) relu \
        flatten dense(units=2)";

    /// A chain of one to ten stages on images of up to 40 rows.
    fn random_chain(seed: u64) -> Network {
        let mut generator = Xoshiro128PlusPlus::seed_from_u64(seed);
        let mut below = |end: u32| generator.next_u32() % end;
        let mut text = format!("input({},{},{})", 1 + below(40), 1 + below(12), 1 + below(3));
        for _ in 0..1 + below(10) {
            text += &match below(8) {
                0 => format!(" avgpool2d(pool={})", 1 + below(3)),
                1 => format!(" maxpool2d(pool={},padding=same)", 1 + below(3)),
                2 | 3 => format!(" depthwise_conv2d(kernel={},stride={})", 1 + below(5), 1 + below(2)),
                _ => format!(" conv2d(filters={},kernel={}) relu", 1 + below(9), 1 + below(5)),
            };
        }
        let network = format!("{text} flatten dense(units=2)").parse::<Network>();
        network.unwrap_or_else(|_| random_chain(seed + (1 << 32)))
    }

    fn chains() -> impl Iterator<Item = Network> {
        let count = if cfg!(miri) { 3 } else { 300 };
        [CHAIN.parse().unwrap()].into_iter().chain((0..count).map(random_chain))
    }

    fn stages(network: &Network) -> Vec<&Spatial> {
        (0..network.plan().spatial_count()).map(|index| network.plan().spatial(index).unwrap()).collect()
    }

    #[test]
    fn no_other_cuts_make_less_of_it() {
        for (number, network) in chains().enumerate() {
            let float = stages(&network);
            let rooms: Vec<_> = float.iter().enumerate().map(|(i, stage)| stage.room(i > 0)).collect();
            let largest = |cuts: usize| {
                let (mut largest, mut segment) = (0, 0);
                for (i, room) in rooms.iter().enumerate() {
                    let is_cut = cuts >> i & 1 == 1 && room.map > 0;
                    segment += if is_cut { room.map } else { room.rows };
                    largest = larger(largest, segment);
                    segment = if is_cut { room.map } else { segment };
                }
                largest
            };
            let best = (0..1 << float.len()).map(largest).min().unwrap();
            let int8 = network.int8();
            assert_eq!(rows_len(int8.plan().all(), float.len()) as u64, best, "{network}");
            assert_eq!(int8.plan().lengths().forward_rows as u64, best.div_ceil(4), "{network}");
            // That of MobileNet.
            if number == 0 {
                assert!(3 * best < 2 * largest(0), "{best} of {}", largest(0));
            }
        }
    }

    /// The rows of each segment, and the maps before and behind them, lie beside each other.
    #[test]
    fn what_is_there_at_the_same_time_does_not_overlap() {
        let mut with_cuts = [0; 4];
        for network in chains().map(Network::int8) {
            let (stages, plan) = (stages(&network), network.plan());
            let cuts: Vec<usize> = (0..stages.len()).filter(|i| stages[*i].waits()).collect();
            with_cuts[cuts.len().min(3)] += 1;
            assert_eq!(plan.row_starts().count(), stages.len());
            let begins = [0].into_iter().chain(cuts.iter().copied());
            for (begin, end) in begins.zip(cuts.iter().copied().chain([stages.len() - 1])) {
                let own = stages.iter().zip(plan.row_starts()).take(end + 1).skip(begin);
                let mut parts: Vec<_> = own.map(|(stage, start)| (start, start + stage.int8_rows_len())).collect();
                parts.sort_unstable();
                assert!(parts.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{begin} to {end}: {parts:?} {network}");
                let last = parts.last().unwrap();
                assert!(last.1 <= 4 * plan.lengths().forward_rows, "{begin} to {end}: {parts:?} {network}");
            }
        }
        assert!(cfg!(miri) || with_cuts.iter().all(|count| *count > 5), "{with_cuts:?}");
    }
}
