//! Where the rows of a network of integers lie, and which stages wait for a whole map.
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
//! The cuts are those that make the largest of these the smallest. The way back has cuts of its own: there a stage's rows and its map are
//! those of its output's gradient, and the last stage is the first.

use super::direction::Direction;
use super::lengths::Lengths;
use super::schedule::is_linear;
use super::spatial::{Operation, Spatial, WAITS};
use super::stage::Stage;
use super::stages::{MAX_STAGES, Stages};
use crate::network::shape::Shape;

/// What the rows of a stage and its whole map take, which is 0 where it cannot wait for that: bytes, or words on the way back.
#[derive(Clone, Copy)]
struct Room {
    rows: u64,
    map: u64,
}

/// No stage.
const NONE: usize = MAX_STAGES;

/// Cuts the first `count` of `stages` into segments.
const fn cut(stages: &mut [Stage; MAX_STAGES], count: usize, direction: Direction) {
    let mut rooms = [Room { rows: 0, map: 0 }; MAX_STAGES];
    let mut number = 0;
    while number < count {
        if let Stage::Spatial(stage) = &stages[direction.stage(number, count)] {
            rooms[number] = stage.room(number > 0, direction);
        }
        number += 1;
    }
    let cuts = cuts(&rooms, count);
    let mut number = 0;
    while number < count {
        if let Stage::Spatial(stage) = &mut stages[direction.stage(number, count)]
            && cuts[number]
        {
            stage.wait_for_map(direction);
        }
        number += 1;
    }
}

/// Has the rows of gradient of which each is used at once, by the stage before, lie in one place.
const fn share_rows(stages: &mut [Stage; MAX_STAGES], count: usize) {
    let mut i = 0;
    while i < count {
        if let Stage::Spatial(stage) = &mut stages[i]
            && (i == 0 || stage.row_extent() == 1)
        {
            stage.slots[2] = 0;
        }
        i += 1;
    }
}

const fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// The stages that wait for their map, in their order. For each stage and for the end: the largest segment before it, if it is cut off
/// there.
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
        if is_linear(&stages, self.spatial) {
            share_rows(&mut stages, self.spatial);
            cut(&mut stages, self.spatial, Direction::Forward);
            cut(&mut stages, self.spatial, Direction::Backward);
        }
        let lengths = Lengths::of(input, &stages, (self.count, self.spatial), true);
        Self { stages, is_int8: true, is_chain: false, lengths, ..self }
    }

    /// Where what each spatial stage of a network of integers keeps starts, in bytes, or words on the way back: in the order in which
    /// they come.
    pub(crate) fn starts(&self, direction: Direction) -> Starts<'_> {
        let lengths = self.lengths();
        let (total, next) = match direction {
            Direction::Forward => (4 * lengths.forward_rows, 0),
            // The shared row is in front.
            Direction::Backward => (lengths.backward_rows, lengths.int8_backward.shared),
        };
        Starts { plan: self, direction, number: 0, front: next, total, at_end: false, next }
    }
}

/// Goes through the stages.
pub(crate) struct Starts<'p> {
    plan: &'p Stages,
    direction: Direction,
    number: usize,
    /// The memory.
    front: usize,
    total: usize,
    /// Whether the map that began the segment lies at the end. Before the first cut there is none.
    at_end: bool,
    next: usize,
}

impl Starts<'_> {
    /// The stage that comes as number `number`.
    fn stage(&self, number: usize) -> Option<&Spatial> {
        let count = self.plan.spatial_count();
        self.plan.spatial(if number < count { self.direction.stage(number, count) } else { number })
    }

    /// What the map takes that begins the segment behind that of stage number `number`.
    fn next_map(&self, number: usize) -> usize {
        let mut behind = (number + 1..self.plan.spatial_count()).filter_map(|number| self.stage(number));
        behind.find(|stage| stage.waits(self.direction)).map_or(0, |stage| stage.kept(self.direction))
    }
}

impl Iterator for Starts<'_> {
    type Item = usize;

    #[inline(never)]
    fn next(&mut self) -> Option<usize> {
        let number = self.number;
        let stage = self.stage(number)?;
        let (len, waits) = (stage.kept(self.direction), stage.waits(self.direction));
        self.number += 1;
        if len == 0 {
            // A shared row.
            return Some(0);
        }
        let start = match (waits, self.at_end) {
            (false, _) => self.next,
            (true, false) => self.total - len,
            (true, true) => self.front,
        };
        self.at_end ^= waits;
        // Rows lie behind the map at the front, be it the segment's own or that of the next one.
        self.next = if waits && self.at_end { self.front + self.next_map(number) } else { start + len };
        Some(start)
    }
}

impl Spatial {
    /// What it takes. The first stage cannot wait, nor can an average forward, which keeps sums.
    const fn room(&self, has_stage_before: bool, direction: Direction) -> Room {
        let height = self.map_height(direction);
        let is_sum = matches!((direction, self.operation), (Direction::Forward, Operation::Average));
        let map = match direction {
            _ if !has_stage_before || is_sum || height > u8::MAX as usize => 0,
            Direction::Forward => self.values_len(height),
            Direction::Backward => height * self.int8_gradient_row_len(),
        };
        Room { rows: self.kept(direction) as u64, map: map as u64 }
    }

    /// Rows of its map.
    const fn map_height(&self, direction: Direction) -> usize {
        match direction {
            Direction::Forward => self.padded_height(),
            Direction::Backward => self.output().height,
        }
    }

    /// Bytes of the rows that it keeps forward, words of those that it keeps backward.
    pub(super) const fn kept(&self, direction: Direction) -> usize {
        match direction {
            Direction::Forward => self.int8_rows_len(),
            Direction::Backward => self.int8_gradient_len(),
        }
    }

    /// Has it keep its whole map.
    const fn wait_for_map(&mut self, direction: Direction) {
        self.layer |= WAITS[direction as usize];
        self.slots[2 * direction as usize] = self.map_height(direction) as u8;
    }

    /// Whether it waits for its whole map.
    #[inline(always)]
    pub(super) const fn waits(&self, direction: Direction) -> bool {
        self.layer & WAITS[direction as usize] != 0
    }

    /// Padded input rows that have to be there for output row `row`.
    #[inline(always)]
    pub(crate) const fn rows_before(&self, row: usize) -> usize {
        if self.waits(Direction::Forward) { self.padded_height() } else { row * self.row_step() + self.row_extent() }
    }

    /// The last row of its output's gradient that has to be there for row `row` of the gradient of what it reads, or adds.
    pub(crate) fn gradient_rows_before(&self, row: usize, is_skip: bool) -> usize {
        if self.waits(Direction::Backward) { self.output().height - 1 } else { self.last_reader_row(row, is_skip) }
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

    /// In their order.
    fn stages(network: &Network, direction: Direction) -> Vec<&Spatial> {
        let count = network.plan().spatial_count();
        (0..count).map(|number| network.plan().spatial(direction.stage(number, count)).unwrap()).collect()
    }

    #[test]
    fn no_other_cuts_make_less_of_it() {
        for (number, network) in chains().enumerate() {
            for direction in [Direction::Forward, Direction::Backward] {
                let mut float = network.plan().stages;
                share_rows(&mut float, network.plan().spatial_count());
                let count = network.plan().spatial_count();
                let rooms: Vec<_> = (0..count)
                    .map(|number| match &float[direction.stage(number, count)] {
                        Stage::Spatial(stage) => stage.room(number > 0, direction),
                        Stage::Dense(_) => unreachable!(),
                    })
                    .collect();
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
                let best = (0..1 << count).map(largest).min().unwrap();
                let int8 = network.int8();
                let lengths = int8.plan().lengths();
                assert_eq!(rows_len(int8.plan().all(), count, direction) as u64, best, "{network}");
                let whole = match direction {
                    Direction::Forward => lengths.forward_rows as u64 - best.div_ceil(4),
                    Direction::Backward => (lengths.backward_rows - lengths.int8_backward.shared) as u64 - best,
                };
                assert_eq!(whole, 0, "{network}");
                // That of MobileNet.
                if number == 0 {
                    assert!(10 * best < 9 * largest(0), "{best} of {}", largest(0));
                }
            }
        }
    }

    /// The rows of each segment, and the maps before and behind them, lie beside each other.
    #[test]
    fn what_is_there_at_the_same_time_does_not_overlap() {
        let mut with_cuts = [[0; 4]; 2];
        for (network, direction) in
            chains().map(Network::int8).flat_map(|n| [Direction::Forward, Direction::Backward].map(|d| (n, d)))
        {
            let (stages, plan) = (stages(&network, direction), network.plan());
            let cuts: Vec<usize> = (0..stages.len()).filter(|i| stages[*i].waits(direction)).collect();
            with_cuts[direction as usize][cuts.len().min(3)] += 1;
            assert_eq!(plan.starts(direction).count(), stages.len());
            let (front, end_of_all) = match direction {
                Direction::Forward => (0, 4 * plan.lengths().forward_rows),
                Direction::Backward => (plan.lengths().int8_backward.shared, plan.lengths().backward_rows),
            };
            let begins = [0].into_iter().chain(cuts.iter().copied());
            for (begin, end) in begins.zip(cuts.iter().copied().chain([stages.len() - 1])) {
                let own = stages.iter().zip(plan.starts(direction)).take(end + 1).skip(begin);
                let own = own.filter(|(stage, _)| stage.kept(direction) > 0);
                let mut parts: Vec<_> = own.map(|(stage, start)| (start, start + stage.kept(direction))).collect();
                parts.sort_unstable();
                assert!(parts.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{begin} to {end}: {parts:?} {network}");
                assert!(parts.first().is_none_or(|first| first.0 >= front), "{begin} to {end}: {parts:?} {network}");
                let last = parts.last().map_or(0, |last| last.1);
                assert!(last <= end_of_all, "{begin} to {end}: {parts:?} {network}");
            }
        }
        let is_varied = with_cuts.as_flattened().iter().all(|count| *count > 5);
        assert!(cfg!(miri) || is_varied, "{with_cuts:?}");
    }
}
